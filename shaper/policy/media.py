"""What kind of media a message carries, and by which evidence.

STUB HEADER ONLY until the classifier lands: the two enums are the contract.
"""

from enum import StrEnum


class MediaClass(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    OTHER = "other"


class Evidence(StrEnum):
    """Which fact decided the media class, strongest first."""

    CONTENT_TYPE = "content-type"
    SNIFFED = "sniffed"
    FETCH_DEST = "sec-fetch-dest"
    EXTENSION = "extension"
    NONE = "none"
