"""Terraform's plugin protocol, version 6: message classes and the DynamicValue encoding.

Owns: bytes on the wire. Must not know: schemas, resources. May use: protobuf, msgpack.

The messages come from the descriptor that the `tf` package carries, which stops before write-only attributes: their
flag is added here, with terraform's field number.
"""

import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tf.gen import tfplugin_pb2

PACKAGE = "tfplugin6"
SERVICE = f"{PACKAGE}.Provider"

_FIELD = descriptor_pb2.FieldDescriptorProto


def _extended_file():
    file = descriptor_pb2.FileDescriptorProto()
    tfplugin_pb2.DESCRIPTOR.CopyToProto(file)
    schema = next(message for message in file.message_type if message.name == "Schema")
    attribute = next(nested for nested in schema.nested_type if nested.name == "Attribute")
    attribute.field.add(name="write_only", number=11, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_BOOL)
    return file


_pool = descriptor_pool.DescriptorPool()
_file = _extended_file()
for _dependency in tfplugin_pb2.DESCRIPTOR.dependencies:
    _copy = descriptor_pb2.FileDescriptorProto()
    _dependency.CopyToProto(_copy)
    _pool.Add(_copy)
_pool.Add(_file)


def message(name):
    """The class of the message `name`, for instance `"Schema.Attribute"`."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def calls():
    """Every call of the service: name, request class, response class."""
    for method in _pool.FindServiceByName(SERVICE).methods:
        yield (
            method.name,
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
        )


class _Unknown:
    """A value that terraform will only know after the apply."""

    def __repr__(self):
        return "(known after apply)"

    def __deepcopy__(self, _memo):
        return self


UNKNOWN = _Unknown()


def _unpack_extension(_code, _data):
    # Refinements ("not null", a prefix) are hints; the stand-in has no use for them.
    return UNKNOWN


def _pack_unknown(value):
    if value is UNKNOWN:
        return msgpack.ExtType(0, b"\x00")
    raise TypeError(f"{type(value)} has no place in a terraform value")


def decode(dynamic):
    """A DynamicValue as plain Python values, with UNKNOWN where terraform knows nothing yet."""
    if not dynamic.msgpack:
        return None
    return msgpack.unpackb(dynamic.msgpack, ext_hook=_unpack_extension, strict_map_key=False)


def encode(value):
    """The DynamicValue of plain Python values."""
    return message("DynamicValue")(msgpack=msgpack.packb(value, default=_pack_unknown))
