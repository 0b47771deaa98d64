"""Byte signatures that the WHATWG MIME Sniffing standard lacks, in the form that `xtractmime` takes.

The standard knows what browsers of its day had to be guarded against. Segments of HLS and DASH, newer images and older
containers are here. Each is (pattern, mask, bytes to skip, type); the first that fits wins, before the standard's own.
"""

type Signature = tuple[bytes, bytes, None, bytes]

IMAGE_BRANDS = b"avif avis heic heim heis heix hevc hevx mif1 mif2 msf1".split()
AUDIO_BRANDS = (b"F4A ", b"F4B ", b"M4A ", b"M4B ", b"M4P ")
BOXES = b"emsg free ftyp mdat moof moov prft sidx skip styp wide".split()


def _at(offset: int, text: bytes, kind: str) -> Signature:
    """`text` after `offset` bytes of anything."""
    return bytes(offset) + text, bytes(offset) + b"\xff" * len(text), None, kind.encode()


def _every(size: int, offset: int, text: bytes, kind: str) -> Signature:
    """`text` at `offset` of each of three packets of `size` bytes."""
    packet, mask, _, _ = _at(offset, text, kind)
    rest = bytes(size - len(packet))
    return (packet + rest) * 2 + packet, (mask + rest) * 2 + mask, None, kind.encode()


def _box(text: bytes, kind: str) -> Signature:
    """An ISO base media box (ISO/IEC 14496-12) of less than 16 MiB: a size that begins with 0, then `text`."""
    pattern, mask, _, _ = _at(4, text, kind)
    return pattern, b"\xff" + mask[1:], None, kind.encode()


SIGNATURES: tuple[Signature, ...] = (
    *(_box(b"ftyp" + brand, "image/heif") for brand in IMAGE_BRANDS),
    *(_box(b"ftyp" + brand, "audio/mp4") for brand in AUDIO_BRANDS),
    *(_box(name, "video/mp4") for name in BOXES),
    _at(4, b"mdat", "video/mp4"),  # of any size
    _every(188, 0, b"G", "video/mp2t"),  # ISO/IEC 13818-1: a sync byte begins each packet
    _every(192, 4, b"G", "video/mp2t"),  # the same with a time stamp before each packet
    _at(0, b"\x00\x00\x01\xba", "video/mpeg"),  # program stream
    _at(0, b"\x00\x00\x01\xb3", "video/mpeg"),  # MPEG-1 and MPEG-2 video
    _at(0, b"\x1a\x45\xdf\xa3", "video/webm"),  # EBML: WebM and Matroska
    _at(0, b"\x1f\x43\xb6\x75", "video/webm"),  # a cluster: a WebM segment of DASH
    _at(0, b"FLV\x01", "video/x-flv"),
    _at(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    _at(0, b".RMF\x00", "video/x-realmedia"),
    _at(28, b"\x80theora", "video/ogg"),  # after a page header of 28 bytes
    _at(28, b"BBCD\x00", "video/ogg"),  # Dirac
    _at(28, b"fishead\x00", "video/ogg"),  # a skeleton, which comes with video
    _at(0, b"fLaC", "audio/flac"),
    _at(0, b"caff", "audio/x-caf"),
    (b"\xff\xf0", b"\xff\xf6", None, b"audio/aac"),  # ADTS: twelve bits of sync, layer 0
    _at(0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    _at(0, b"\xff\x0a", "image/jxl"),  # without a container
    _at(0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    _at(0, b"\xff\x4f\xff\x51", "image/j2c"),
    _at(0, b"II*\x00", "image/tiff"),
    _at(0, b"MM\x00*", "image/tiff"),
)
