"""ONNX models as bytes, written field by field: also the malformed ones that no library would make.

Field numbers are those of onnx.proto3.  Every function returns the bytes of one message.
"""
import struct

F32, I32, I64 = 1, 6, 7


def varint(value):
    """Base-128; a negative number as its 64-bit two's complement."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(name, dims, values, dtype=F32):
    """TensorProto with raw data; `values` may disagree with `dims`."""
    letter = {F32: "f", I32: "i", I64: "q"}[dtype]
    raw = struct.pack(f"<{len(values)}{letter}", *values)
    return b"".join(number(1, d) for d in dims) + number(2, dtype) + block(8, name) + block(9, raw)


def value(name, dims, dtype=F32):
    """ValueInfoProto; a dimension is a number or the name of a symbol."""
    shape = b""
    for dim in dims:
        shape += block(1, block(2, dim) if isinstance(dim, str) else number(1, dim))
    return block(1, name) + block(2, block(1, number(1, dtype) + block(2, shape)))


def attr_int(name, value):
    return block(1, name) + number(3, value) + number(20, 2)


def attr_ints(name, values):
    return block(1, name) + b"".join(number(8, v) for v in values) + number(20, 7)


def attr_string(name, text):
    return block(1, name) + block(4, text) + number(20, 3)


def node(op, inputs, outputs, attrs=(), name=""):
    out = b"".join(block(1, i) for i in inputs) + b"".join(block(2, o) for o in outputs)
    return out + block(3, name) + block(4, op) + b"".join(block(5, a) for a in attrs)


def graph(nodes, inputs, outputs, constants=()):
    out = b"".join(block(1, n) for n in nodes) + block(2, "g")
    out += b"".join(block(5, c) for c in constants)
    return out + b"".join(block(11, i) for i in inputs) + b"".join(block(12, o) for o in outputs)


def model(graph_bytes, opset=17, ir_version=8):
    return number(1, ir_version) + block(7, graph_bytes) + block(8, number(2, opset))


def small_values(count):
    """`count` different small numbers."""
    return [((i * 37) % 19 - 9) / 16 for i in range(count)]


def good(batch=2, output="out/y"):
    """x[batch, 3, 6, 6] -> convolution -> Relu -> mean -> matrix product -> output[batch, 5]."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], [attr_ints("pads", [1, 1, 1, 1])], "conv"),
        node("Relu", ["c"], ["r"], name="relu"),
        node("GlobalAveragePool", ["r"], ["p"], name="mean"),
        node("Flatten", ["p"], ["f"], name="flat"),
        node("MatMul", ["f", "m"], [output], name="product"),
    ]
    constants = [
        tensor("w", [8, 3, 3, 3], small_values(216)),
        tensor("b", [8], small_values(8)),
        tensor("m", [8, 5], small_values(40)),
    ]
    return model(graph(nodes, [value("x", [batch, 3, 6, 6])], [value(output, [batch, 5])],
                       constants))


def npy(shape, descr="<f4", data=None):
    """A .npy file of zeros, or of `data`."""
    count = 1
    for size in shape:
        count *= size
    if data is None:
        data = bytes(count * int(descr[2:]))
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data
