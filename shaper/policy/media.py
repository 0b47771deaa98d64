"""What kind of media a message carries, and which fact said so.

The Content-Type is believed unless the body's first bytes contradict it. When it is missing or generic, the
bytes decide (WHATWG MIME Sniffing, by `xtractmime`), then Sec-Fetch-Dest, then the path's extension. A type that
names no media is final, except where a browser itself would sniff: for an image, audio or video element (MIME
Sniffing sections 8.2 and 8.3). Total: never raises, and looks at no more than `HEAD` bytes.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from enum import StrEnum
from posixpath import splitext

from xtractmime import RESOURCE_HEADER_BUFFER_LENGTH, extract_mime

from shaper.policy.content_type import essence, part_essence
from shaper.policy.signatures import SIGNATURES

HEAD = RESOURCE_HEADER_BUFFER_LENGTH  # 1445: as much of a body as sniffing ever looks at


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


IMAGE, VIDEO, AUDIO, OTHER = MediaClass


def _each(names: str, media: MediaClass) -> dict[str, MediaClass]:
    return dict.fromkeys(names.split(), media)


BYTERANGES = "multipart/byteranges"
MIXED_REPLACE = "multipart/x-mixed-replace"

# Types that say no more than "some bytes". text/plain is what servers say of what they do not know.
_GENERIC = {
    "",
    "application/binary",
    "application/download",
    "application/force-download",
    "application/octet-stream",
    "application/ogg",  # RFC 5334 keeps it for audio and video alike
    "application/unknown",
    "application/x-download",
    "application/x-octet-stream",
    "application/x-ogg",
    "application/x-unknown",
    "binary/octet-stream",
    "content/unknown",
    "text/plain",
    "unknown/unknown",
}

# Types whose top level says something else than what they carry.
_NAMED = {
    **_each("application/mp4 application/mxf application/vnd.ms-asf application/vnd.rn-realmedia", VIDEO),
    **_each("application/x-matroska application/x-mpegts", VIDEO),
    "application/vnd.yt-ump": VIDEO,  # YouTube's own framing of audio and video
    MIXED_REPLACE: VIDEO,  # cameras: one JPEG after another is a moving picture
    # Playlists are text that names the segments.
    **_each("audio/mpegurl audio/x-mpegurl video/vnd.mpegurl video/x-mpegurl audio/scpls audio/x-scpls", OTHER),
    **_each("audio/x-ms-wax video/x-ms-asx video/x-ms-wvx", OTHER),
}

# Fetch's request destinations. Those that may hold anything are left out: empty, document, embed, object, iframe.
_DESTINATIONS = {
    **_each("audioworklet font json manifest paintworklet report script serviceworker sharedworker", OTHER),
    **_each("style text track worker xslt", OTHER),
    **_each("image", IMAGE),
    **_each("video", VIDEO),
    **_each("audio", AUDIO),
}

_EXTENSIONS = {
    **_each("apng avif avifs bmp cur gif heic heif ico j2k jfif jp2 jpe jpeg jpg jxl", IMAGE),
    **_each("pjpeg png svg svgz tif tiff webp", IMAGE),
    **_each("3g2 3gp asf avi cmfv f4v flv m2ts m4s m4v mkv mov mp4 mpeg mpg ogv ts webm wmv", VIDEO),
    **_each("aac aif aiff amr cmfa flac m4a m4b mid mp3 oga ogg opus wav weba wma", AUDIO),
}

# What bytes of a sniffed type can be, the likeliest first. A container's beginning does not tell audio from video.
_SNIFFED: dict[str, tuple[MediaClass, ...]] = {
    "application/octet-stream": (),
    "application/ogg": (AUDIO, VIDEO),
    "video/mp2t": (VIDEO, AUDIO),
    "video/mp4": (VIDEO, AUDIO),
    "video/webm": (VIDEO, AUDIO),
    "video/x-ms-asf": (VIDEO, AUDIO),
}

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # MIME Sniffing section 3, "binary data byte"
_TEXT = 128  # so many bytes without a control byte are text; of encrypted video, one beginning in a million is


def classify(content_type: Sequence[str], head: bytes, fetch_dest: str, path: str) -> tuple[MediaClass, Evidence]:
    """Return the media class and the strongest fact for it.

    `content_type` holds every value of the field, in order. `head` is the body's beginning: empty when it is not in, is
    compressed, or is a range from further on.
    """
    head = head[:HEAD]
    kind = essence(content_type)
    if kind == MIXED_REPLACE:
        part = _label(part_essence(head))
        return (part if part in (AUDIO, OTHER) else VIDEO), Evidence.CONTENT_TYPE
    if kind == BYTERANGES:
        kind, head = part_essence(head), b""  # a range may begin anywhere: its bytes prove nothing
    label = _label(kind)
    wanted = _destination(fetch_dest)
    possible = _sniff(head) if _questionable(kind, wanted) else ()
    if label and (label in possible or not possible):
        return label, Evidence.CONTENT_TYPE
    likeliest = possible[0] if possible else None
    extension = None if kind == "text/plain" else _extension(path)  # compressed TypeScript is no MPEG-TS
    for claim, evidence in ((wanted, Evidence.FETCH_DEST), (extension, Evidence.EXTENSION)):
        if claim and claim is not likeliest and claim in (possible or MediaClass):
            return claim, evidence
    return (likeliest, Evidence.SNIFFED) if likeliest else (OTHER, Evidence.NONE)


def needs_head(content_type: Sequence[str], fetch_dest: str = "") -> bool:
    """Whether the body's first bytes can still change the class."""
    return _questionable(essence(content_type), _destination(fetch_dest))


def _questionable(kind: str, wanted: MediaClass | None) -> bool:
    if kind.endswith("+xml") or kind in ("text/xml", "application/xml"):
        return False
    return kind == BYTERANGES or _label(kind) is not OTHER or wanted in (IMAGE, VIDEO, AUDIO)


def _label(kind: str) -> MediaClass | None:
    """Return the class that a type names; None when it names none."""
    return None if kind in _GENERIC else _NAMED.get(kind) or _top_level(kind)


def _top_level(kind: str) -> MediaClass:
    top = kind.partition("/")[0]
    return MediaClass(top) if top in (IMAGE, VIDEO, AUDIO) else OTHER


def _destination(fetch_dest: str) -> MediaClass | None:
    return _DESTINATIONS.get(fetch_dest.strip().lower())


def _sniff(head: bytes) -> tuple[MediaClass, ...]:
    """Return the classes that these bytes can be, the likeliest first; nothing when they do not tell."""
    body = head.lstrip(b"\t\n\f\r ")
    if not _CONTROL.search(body):
        return _read(body)
    sniffed = (extract_mime(body, extra_types=SIGNATURES) or b"").decode()
    return _SNIFFED[sniffed] if sniffed in _SNIFFED else (_top_level(sniffed),)


def _read(text: bytes) -> tuple[MediaClass, ...]:
    """Sniff what has no control byte: it is text, and of texts only SVG is an image."""
    text = text.removeprefix(BOM_UTF8)
    if text.startswith((b"<svg", b"<?xml", b"<!DOCTYPE svg")):
        return (IMAGE,) if b"<svg" in text else (OTHER, IMAGE)
    return (OTHER,) if len(text) >= _TEXT or text.startswith(b"#EXTM3U") else ()


def _extension(path: str) -> MediaClass | None:
    """Return the class of the path's extension, minding `photo.jpg:large` and `clip.mp4;v=2`."""
    name = re.split("[?#]", path, maxsplit=1)[0].rpartition("/")[2]
    return _EXTENSIONS.get(splitext(re.split("[:;]", name, maxsplit=1)[0])[1].lower()[1:])
