"""Terraform's plugin protocol, version 6: message classes and the DynamicValue encoding.

Owns: bytes on the wire. Must not know: schemas, resources. May use: protobuf, msgpack.

The messages come from the descriptor that the `tf` package carries, which stops before write-only attributes and
ephemeral resources; those are added here, with terraform's field numbers.
"""

import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tf.gen import tfplugin_pb2

PACKAGE = "tfplugin6"
SERVICE = f"{PACKAGE}.Provider"

_FIELD = descriptor_pb2.FieldDescriptorProto
_STRING, _BYTES, _BOOL, _MESSAGE = _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES, _FIELD.TYPE_BOOL, _FIELD.TYPE_MESSAGE

_EPHEMERAL_CALLS = {
    "ValidateEphemeralResourceConfig": (
        [("type_name", 1, _STRING), ("config", 2, "DynamicValue")],
        [("diagnostics", 1, ["Diagnostic"])],
    ),
    "OpenEphemeralResource": (
        [("type_name", 1, _STRING), ("config", 2, "DynamicValue")],
        [("diagnostics", 1, ["Diagnostic"]), ("result", 3, "DynamicValue"), ("private", 4, _BYTES)],
    ),
    "RenewEphemeralResource": (
        [("type_name", 1, _STRING), ("private", 2, _BYTES)],
        [("diagnostics", 1, ["Diagnostic"]), ("private", 3, _BYTES)],
    ),
    "CloseEphemeralResource": (
        [("type_name", 1, _STRING), ("private", 2, _BYTES)],
        [("diagnostics", 1, ["Diagnostic"])],
    ),
}


def _add_field(message, name, number, kind):
    repeated = isinstance(kind, list)
    kind = kind[0] if repeated else kind
    field = message.field.add(name=name, number=number)
    field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    if isinstance(kind, str):
        field.type, field.type_name = _MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = kind


def _extended_file():
    file = descriptor_pb2.FileDescriptorProto()
    tfplugin_pb2.DESCRIPTOR.CopyToProto(file)
    messages = {message.name: message for message in file.message_type}
    attribute = next(nested for nested in messages["Schema"].nested_type if nested.name == "Attribute")
    _add_field(attribute, "write_only", 11, _BOOL)

    schemas = next(nested for nested in messages["GetProviderSchema"].nested_type if nested.name == "Response")
    entry = schemas.nested_type.add(name="EphemeralResourceSchemasEntry")
    entry.options.map_entry = True
    _add_field(entry, "key", 1, _STRING)
    _add_field(entry, "value", 2, "Schema")
    _add_field(schemas, "ephemeral_resource_schemas", 8, ["GetProviderSchema.Response.EphemeralResourceSchemasEntry"])

    service = file.service[0]
    for call, (request, response) in _EPHEMERAL_CALLS.items():
        message = file.message_type.add(name=call)
        for part, fields in (("Request", request), ("Response", response)):
            nested = message.nested_type.add(name=part)
            for field in fields:
                _add_field(nested, *field)
        service.method.add(
            name=call,
            input_type=f".{PACKAGE}.{call}.Request",
            output_type=f".{PACKAGE}.{call}.Response",
        )
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
