"""Serves providers to terraform over gRPC.

Owns: translating calls to `Provider`, and the two ways terraform reaches a plugin: started by it from a mirror (with
TLS), or running already (TF_REATTACH_PROVIDERS). Must not know: resources. May use: wire, provider.
"""

import base64
import datetime
import json
import os
import sys
import tempfile
import threading
import traceback
from concurrent import futures

import grpc

from . import wire
from .rules import Refused

NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}
THREADS = 16
PROTOCOL = 6


def schema_message(block, sensitive=()):
    return wire.message("Schema")(version=0, block=_block_message(block, sensitive))


def _block_message(block, sensitive=()):
    message = wire.message("Schema.Block")()
    for name, attribute in sorted(block["attributes"].items()):
        message.attributes.add(
            name=name,
            type=json.dumps(attribute["type"]).encode(),
            required=attribute["required"],
            optional=attribute["optional"],
            computed=attribute["computed"],
            sensitive=bool(attribute.get("sensitive")) or name in sensitive,
            write_only=bool(attribute.get("write_only")),
        )
    for name, nested in sorted(block["blocks"].items()):
        message.block_types.add(
            type_name=name,
            block=_block_message(nested["block"]),
            nesting=NESTING[nested["nesting"]],
            min_items=nested["min"],
            max_items=nested["max"],
        )
    return message


def _path(dotted):
    path = wire.message("AttributePath")()
    for part in dotted.split("."):
        if part == "*":
            path.steps.add(element_key_int=0)
        else:
            path.steps.add(attribute_name=part)
    return path


_SCHEMAS = {}
"""Message by identity of the schema: building one takes longer than a plan, and every terraform command asks."""


def _provider_schema(provider):
    schema = provider.schema
    if id(schema) in _SCHEMAS:
        return _SCHEMAS[id(schema)][1]
    response = wire.message("GetProviderSchema.Response")()
    response.provider.CopyFrom(schema_message(schema["provider"]))
    for name, block in schema["resources"].items():
        response.resource_schemas[name].CopyFrom(schema_message(block, provider.rules_of(name).sensitive))
    for name, block in schema["data_sources"].items():
        response.data_source_schemas[name].CopyFrom(schema_message(block))
    _SCHEMAS[id(schema)] = schema, response
    return response


class Servicer:
    """The calls of the protocol, by name; what isn't here is answered with an empty response."""

    def __init__(self, provider):
        self.provider = provider
        self.stopped = threading.Event()

    def answer(self, call, request, response):
        try:
            handler = getattr(self, call, None)
            if handler:
                handler(request, response)
        except Refused as refusal:
            _complain(response, str(refusal))
        except Exception as fault:  # a fault of the stand-in has to reach the person who runs terraform
            traceback.print_exc()
            _complain(response, f"stand-in fault in {call}: {fault!r}")
        return response

    def GetProviderSchema(self, _request, response):
        response.MergeFrom(_provider_schema(self.provider))

    def ConfigureProvider(self, request, _response):
        self.provider.settings = {
            name: value for name, value in (wire.decode(request.config) or {}).items() if isinstance(value, str)
        }

    def ValidateResourceConfig(self, request, response):
        for path, message in self.provider.validate(request.type_name, wire.decode(request.config)):
            _complain(response, message, path)

    def UpgradeResourceState(self, request, response):
        state = json.loads(request.raw_state.json)
        response.upgraded_state.CopyFrom(wire.encode(state))

    def ReadResource(self, request, response):
        state = self.provider.read(request.type_name, wire.decode(request.current_state))
        response.new_state.CopyFrom(wire.encode(state))

    def PlanResourceChange(self, request, response):
        prior, config, proposed = map(wire.decode, (request.prior_state, request.config, request.proposed_new_state))
        planned, replace = self.provider.plan(request.type_name, prior, config, proposed)
        response.planned_state.CopyFrom(wire.encode(planned))
        response.requires_replace.extend(_path(path) for path in replace)
        response.legacy_type_system = True

    def ApplyResourceChange(self, request, response):
        prior, planned, config = map(wire.decode, (request.prior_state, request.planned_state, request.config))
        state, refusal = self.provider.apply(request.type_name, prior, planned, config)
        response.new_state.CopyFrom(wire.encode(state))
        response.legacy_type_system = True
        if refusal:
            _complain(response, refusal)

    def ImportResourceState(self, request, response):
        state = self.provider.import_(request.type_name, request.id)
        if state is None:
            _complain(response, f"Cannot import non-existent remote object {request.id}")
        else:
            response.imported_resources.add(type_name=request.type_name, state=wire.encode(state))

    def ReadDataSource(self, request, response):
        state = self.provider.read_data(request.type_name, wire.decode(request.config))
        response.state.CopyFrom(wire.encode(state))

    def StopProvider(self, _request, _response):
        self.stopped.set()


def _complain(response, message, path=None):
    diagnostic = response.diagnostics.add(severity=1, summary=message)
    if path and "*" not in path:
        diagnostic.attribute.CopyFrom(_path(path))


def _server(servicer):
    def handler(call, request_class, response_class):
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: servicer.answer(call, request, response_class()),
            request_deserializer=request_class.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    def shutdown(_request, _context):
        servicer.stopped.set()
        return b""

    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=THREADS), options=[("grpc.max_send_message_length", -1)]
    )
    handlers = {call: handler(call, request, response) for call, request, response in wire.calls()}
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(wire.SERVICE, handlers),
            grpc.method_handlers_generic_handler(
                "plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)}
            ),
            grpc.method_handlers_generic_handler(
                "plugin.GRPCStdio",
                {"StreamStdio": grpc.unary_stream_rpc_method_handler(lambda _request, _context: iter(()))},
            ),
        ]
    )
    return server


class Running:
    """Providers served inside this process; terraform finds them through `environment`."""

    def __init__(self, providers, registry):
        self._sockets, self._servers, attached = tempfile.TemporaryDirectory(prefix="standin-"), [], {}
        for provider in providers:
            server, address = _server(Servicer(provider)), f"{self._sockets.name}/{provider.name}"
            server.add_insecure_port(f"unix:{address}")
            server.start()
            self._servers.append(server)
            attached[f"{registry}/hashicorp/{provider.name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": PROTOCOL,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": address},
            }
        self.environment = {"TF_REATTACH_PROVIDERS": json.dumps(attached)}

    def stop(self):
        for server in self._servers:
            server.stop(grace=None)
        self._sockets.cleanup()


def serve_as_plugin(provider):
    """Serves one provider as the process that terraform started, until terraform says goodbye."""
    if "PLUGIN_PROTOCOL_VERSIONS" not in os.environ:
        sys.exit("This is a terraform plugin: terraform starts it.")
    servicer = Servicer(provider)
    server = _server(servicer)
    certificate, credentials = _certificate()
    with tempfile.TemporaryDirectory(prefix="standin-") as folder:
        address = f"{folder}/plugin"
        server.add_secure_port(f"unix:{address}", credentials)
        server.start()
        encoded = base64.b64encode(certificate).decode().rstrip("=")
        print(f"1|{PROTOCOL}|unix|{address}|grpc|{encoded}", flush=True)
        servicer.stopped.wait()
        server.stop(grace=0.2).wait()


def _certificate():
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    credentials = grpc.ssl_server_credentials([(private, certificate.public_bytes(serialization.Encoding.PEM))])
    return certificate.public_bytes(serialization.Encoding.DER), credentials
