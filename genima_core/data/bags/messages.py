"""ROS 2 messages without ROS: their CDR bytes, their definitions, and the pictures in them."""

import struct
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from genima_core.pixels import decode_picture, to_rgb

IMAGE, JPEG = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JPEG_FORMAT = "rgb8; jpeg compressed bgr8"
"""As image_transport writes it: the encoding that the camera sent, and how the picture is stored."""


@cache
def typestore() -> Typestore:
    return get_typestore(Stores.ROS2_JAZZY)


class Message(NamedTuple):
    """One message as it was received or stored."""

    topic: str
    type: str
    data: bytes
    received_ns: int
    published_ns: int
    """When it was captured, by its header; where it has none, when it was sent."""
    qos: str = ""
    """The publisher's QoS profile in rosbag2's form, for players; messages that were read have none."""

    @property
    def captured_ns(self) -> int:
        """As `published_ns`, but also right in bags of other recorders, which store another time there."""
        return header_stamp_ns(self.data, self.type) or self.published_ns

    def decode(self) -> Any:
        return deserialize(self.data, self.type)


def deserialize(data: bytes, type: str) -> Any:
    """Decodes CDR bytes; arrays are views of `data`. ValueError for an unknown type, or bytes that are not of it."""
    try:
        return typestore().deserialize_cdr(data, _known(type))
    except (SerdeError, struct.error, LookupError, ValueError, AssertionError, MemoryError, OverflowError) as error:
        raise ValueError(f"{len(data)} bytes are not a {type}: {error or 'they end too early'}") from error


def image_or_error(data: bytes, type: str) -> Any:
    """Decodes an image message, or returns the ValueError of `deserialize`: one bad image is counted, no more."""
    try:
        return deserialize(data, type)
    except ValueError as error:
        return error


def serialize(message: object, type: str) -> bytes:
    """CDR bytes, little-endian."""
    return bytes(typestore().serialize_cdr(message, _known(type)))


@cache
def definition(type: str) -> str:
    """The definition of a type and of all types in it, in the form that bags store ("ros2msg")."""
    return typestore().generate_msgdef(_known(type), ros_version=2)[0]


@cache
def type_hash(type: str) -> str:
    """The type's hash by REP 2011, such as RIHS01_..."""
    return typestore().hash_rihs01(_known(type))


@cache
def has_header(type: str) -> bool:
    """Whether messages of a type begin with a std_msgs/Header."""
    fields = typestore().fielddefs[_known(type)][1]
    return bool(fields) and fields[0][1][1] == "std_msgs/msg/Header"


def header_stamp_ns(data: bytes, type: str) -> int | None:
    """The stamp in a message's header, read from its bytes; None if there is no header, or the stamp is 0."""
    if not has_header(type) or len(data) < 12:
        return None
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return seconds * 10**9 + nanoseconds or None


def image_to_rgb(message: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an Image or a CompressedImage; ValueError for an unknown encoding, or damaged data."""
    if hasattr(message, "encoding"):
        layout = message.width, message.height, message.encoding, message.step, bool(message.is_bigendian)
        return to_rgb(message.data, *layout)
    return decode_picture(bytes(message.data), f"a picture of format {message.format[:40]!r}")


def to_jpeg(message: Any, quality: int) -> Any:
    """An Image as a CompressedImage with the same header; ValueError if its encoding cannot be read."""
    bgr = cv2.cvtColor(image_to_rgb(message), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return typestore().types[JPEG](header=message.header, format=JPEG_FORMAT, data=data.ravel())


def _known(type: str) -> str:
    if type not in typestore().types:
        raise ValueError(f"unknown message type {type!r}; known are those of ROS 2 Jazzy's common interfaces")
    return type
