"""What the server tells of its gRPC services: reflection, and the program that makes its descriptors."""
import socket
import struct
import subprocess
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import \
    ProtoReflectionDescriptorDatabase
from clients import wait_for
from harness import PATIENCE_S, Failure, check
from test_hostile import frame
from test_protocol_grpc import channel_to, streaming, text_field
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as pb


def case_reflection(t):
    """The stock client finds services, files and symbols; messages made of them work."""
    server = t.start(models=("identity", "add_sub"))
    channel = channel_to(server)
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    check(services == {"inference.GRPCInferenceService", "grpc.health.v1.Health",
                       "grpc.reflection.v1.ServerReflection",
                       "grpc.reflection.v1alpha.ServerReflection"}, services)
    pool = descriptor_pool.DescriptorPool(database)
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    method = service.FindMethodByName("ModelInfer")
    request = message_factory.GetMessageClass(method.input_type)(
        model_name="identity", id="7", raw_input_contents=[b"\1" * 64])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 16])
    answer = message_factory.GetMessageClass(method.output_type)
    got = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer",
                              request_serializer=lambda m: m.SerializeToString(),
                              response_deserializer=answer.FromString)(request)
    check(got.id == "7" and got.raw_output_contents[0] == b"\1" * 64, got)
    for name in ("inference.ModelInferRequest", "inference.ModelInferRequest.InferInputTensor",
                 "inference.ModelInferRequest.id", "inference.DataType", "inference.TYPE_FP32",
                 "inference.GRPCInferenceService.ModelInfer",
                 "inference.InferParameter.parameter_choice"):
        check(database.FindFileContainingSymbol(name).name.endswith(".proto"), name)
    check(database.FindFileByName("model_config.proto").package == "inference")
    check(database.FindFileContainingExtension("inference.ModelConfig", 1) is None)
    for call in (lambda: database.FindFileContainingSymbol("inference.None"),
                 lambda: database.FindFileByName("none.proto")):
        try:
            call()
            raise Failure("found")
        except KeyError:
            pass
    check(list(database.FindAllExtensionNumbers("inference.ModelConfig")) == [])
    channel.close()


def case_reflection_is_tritons(t):
    """Every message has the names, numbers and types of the stock client's."""
    server = t.start()
    channel = channel_to(server)
    database = ProtoReflectionDescriptorDatabase(channel)

    def fields(message):
        return {f.name: (f.number, f.type, f.label, f.type_name,
                         message.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") else "")
                for f in message.field}

    def compare(ours, theirs, whole, path):
        check(whole is False or set(fields(ours)) == set(fields(theirs)), path)
        for name, field in fields(ours).items():
            check(fields(theirs)[name] == field, path, name, field, fields(theirs)[name])
        for kind in ("nested_type", "enum_type"):
            known = {m.name: m for m in getattr(theirs, kind)}
            for own in getattr(ours, kind):
                if kind == "enum_type":
                    compare_enum(own, known[own.name])
                else:
                    check(own.options.map_entry == known[own.name].options.map_entry, own.name)
                    compare(own, known[own.name], whole, path + "." + own.name)

    def compare_enum(ours, theirs):
        values = {v.name: v.number for v in theirs.value}
        check({v.name: v.number for v in ours.value} == values, ours.name)
    for name, module, whole in (("grpc_service.proto", pb, True),
                                ("model_config.proto", model_config_pb2, False)):
        ours = database.FindFileByName(name)
        theirs = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(theirs)
        check(ours.syntax == "proto3" and ours.package == theirs.package, ours.package)
        known = {m.name: m for m in theirs.message_type}
        for message in ours.message_type:
            compare(message, known[message.name], whole, message.name)
        check(not whole or set(known) == {m.name for m in ours.message_type}, "messages")
        for enum in ours.enum_type:
            compare_enum(enum, {e.name: e for e in theirs.enum_type}[enum.name])
        for own, other in zip(ours.service, theirs.service, strict=True):
            def methods(service):
                return {m.name: (m.input_type, m.output_type, m.client_streaming,
                                 m.server_streaming) for m in service.method}
            check(own.name == other.name and methods(own) == methods(other), methods(own))
    channel.close()


def case_reflection_tells_the_truth(t):
    """Every method that is told of is there."""
    server = t.start("--allow-client-shm")
    channel = channel_to(server)
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = descriptor_pool.DescriptorPool(database)
    for service in database.get_services():
        for method in pool.FindServiceByName(service).methods:
            made = channel.stream_stream(f"/{service}/{method.name}")
            try:
                next(made(iter([b""]), timeout=1), None)
            except grpc.RpcError as error:
                check("no such method" not in error.details(), service, method.name)
    channel.close()


def case_reflection_raw(t):
    """Both versions, byte by byte; and requests that are none."""
    server = t.start()
    channel = channel_to(server)
    for version in ("v1", "v1alpha"):
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        requests = [text_field(7, b""), text_field(1, b"h") + text_field(4, b"none"),
                    b"", text_field(7, b"") + text_field(3, b"grpc/health/v1/health.proto"),
                    text_field(6, b"grpc.health.v1.HealthCheckRequest"), text_field(6, b"x"),
                    text_field(5, text_field(1, b"a"))]
        got = list(call(iter(requests)))
        check(len(got) == len(requests), len(got))
        check(got[0].startswith(b"\x0a\x00\x12\x02\x3a\x00\x32"), got[0])
        error = b"\x08\x05" + text_field(2, b"there is no such symbol")
        check(got[1] == text_field(1, b"h") + text_field(2, requests[1]) + text_field(7, error),
              got[1])
        check(b"asks for nothing" in got[2] and b"\x08\x03" in got[2], got[2])
        check(b"HealthCheckResponse" in got[3] and b"ServingStatus" in got[3], got[3])
        check(b"no such type" not in got[4] and b"no such type" in got[5], got[4:6])
        check(b"no such extension" in got[6], got[6])
        for bad in (b"\xff", b"\x38\x01", text_field(1, b"h") + b"\x3a\x05"):
            try:
                list(call(iter([bad])))
                raise Failure("taken:", bad)
            except grpc.RpcError as error:
                check(error.code() == grpc.StatusCode.INVALID_ARGUMENT, bad, error)
        try:
            list(call(iter([b"\x22\xff\xff\x01" + b"x" * 32767])))
            raise Failure("taken")
        except grpc.RpcError as error:
            check("at most 16384" in error.details(), error)
    channel.close()


def case_reflection_unread(t):
    """A client that asks without end and reads nothing is let go, and holds little."""
    server = t.start()
    one = text_field(4, b"inference.ModelConfig")
    message = b"\0" + struct.pack(">I", len(one)) + one
    with socket.create_connection(("127.0.0.1", server.grpc), timeout=PATIENCE_S) as sock:
        sock.sendall(streaming(b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo") +
                     frame(0, 0, 1, message * 500) * 20)
        wait_for(lambda: server.metric("dyno_bytes_in_flight") > 100000)
        time.sleep(0.5)  # and no more comes
        check(server.metric("dyno_bytes_in_flight") < 4 << 20, "what is held")
        server.alive()
    server.wait_quiet()


def case_descriptors_of_bad_files(t):
    """The program of the build names file and line of what it does not take."""
    program = t.build / "make_descriptors"
    out = t.folder / "out.c"

    def run(text):
        (t.folder / "a.proto").write_text(text)
        return subprocess.run([program, out, t.folder, "a.proto"], capture_output=True, text=True)
    head = 'syntax = "proto3";\npackage p;\n'
    good = run(head + "message M { map<string, M> m_n = 1; } // c\nenum E { A = 0; }\n")
    check(good.returncode == 0 and '"p.M.MNEntry"' in out.read_text(), good.stderr)
    for text, line, says in (("message M {", 1, "wants"), ('syntax = "proto2";', 1, "wants proto3"),
                             (head + "message M { N n = 1; }", 3, "unknown type N"),
                             (head + "message M {}\nmessage M {}", 4, "twice: p.M"),
                             (head + "message M { int32 a = 0; }", 3, "wants a number"),
                             (head + "message M { int32 a = x; }", 3, "wants a number"),
                             (head + "\nextend M {}", 4, "does not know extend"),
                             (head + 'import "b.proto";', 3, "not given before"),
                             (head + 'import "b', 3, "text without end"),
                             (head + "message M { int32 1 = 1; }", 3, "wants a name"),
                             (head + "message A {" * 9, 3, "too deep"),
                             (head + "service S { rpc R(M) returns (M); }", 3, "unknown type M")):
        bad = run(text)
        check(bad.returncode == 1 and bad.stderr.startswith(f"a.proto:{line}: ") and
              says in bad.stderr, text, bad.stderr)
