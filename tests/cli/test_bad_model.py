"""Models that are wrong: one sentence each, a documented exit code, no file."""
from harness import EXIT, check
from onnx_bytes import (F32, I64, attr_int, attr_ints, good, graph, model, node, small_values,
                        tensor, value)

X = [value("x", [1, 4])]
Y = [value("y", [1, 4])]


def refuse(t, status, says, data):
    """The same sentence from every command that reads models."""
    t.put("m.onnx", data)
    t.fails(status, "dyno build: m.onnx: " + says, "build", "--onnx=m.onnx",
            "--saveEngine=m.engine", "--builderOptimizationLevel=0")
    t.fails(status, "dyno inspect: m.onnx: " + says, "inspect", "model", "m.onnx")
    t.fails(status, "dyno run: m.onnx: " + says, "run", "m.onnx")


def of(nodes, inputs=None, outputs=None, constants=(), **how):
    return model(graph(nodes, inputs or X, outputs or Y, constants), **how)


def case_truncated(t):
    whole = good()
    for bytes_kept in (len(whole) - 1, len(whole) - 20, len(whole) // 2, 7):
        t.put("m.onnx", whole[:bytes_kept])
        t.fails("E_FORMAT", "dyno build: m.onnx: protobuf at byte *", "build", "--onnx=m.onnx",
                "--saveEngine=m.engine")


def case_cut_at_every_byte(t):
    whole = of([node("Relu", ["x"], ["y"], name="only")])
    for bytes_kept in range(len(whole)):
        t.put("m.onnx", whole[:bytes_kept])
        got = t.dyno("inspect", "model", "m.onnx")
        check(got.returncode in (EXIT["E_FORMAT"], EXIT["E_UNSUPPORTED"]), bytes_kept,
              got.returncode, got.stderr)
        check(got.stderr.count("\n") == 1, bytes_kept, got.stderr)


def case_empty_and_text(t):
    refuse(t, "E_FORMAT", "the file holds no graph: not an ONNX model", b"")
    refuse(t, "E_FORMAT", "protobuf at byte *", b"This is not a model, but a letter.\n")


def case_not_there(t):
    t.fails("E_NOT_FOUND", 'dyno build: cannot open "m.onnx": No such file or directory', "build",
            "--onnx=m.onnx", "--saveEngine=m.engine")
    t.fails("E_IO", 'dyno build: cannot map ".": not a regular file', "build", "--onnx=.",
            "--saveEngine=m.engine")


def case_oversized_dimensions(t):
    relu = [node("Relu", ["x"], ["y"], name="only")]
    refuse(t, "E_FORMAT", "value 'x': dimension 0 is *, may not be negative",
           of(relu, [value("x", [2**63, 4])]))
    refuse(t, "E_FORMAT", "input 'x': the product of its dimensions does not fit 63 bits",
           of(relu, [value("x", [2**62, 4])], [value("y", [2**62, 4])]))
    refuse(t, "E_FORMAT", "input 'x': the product of its dimensions does not fit 63 bits",
           of(relu, [value("x", [2**63 - 1, 1])], [value("y", [2**63 - 1, 1])]))
    refuse(t, "E_FORMAT", "*tensor 'c': the product of its dimensions does not fit 63 bits",
           of([node("Add", ["x", "c"], ["y"])],
              constants=[tensor("c", [2**62, 4], [1, 2, 3, 4])]))
    refuse(t, "E_FORMAT", "*tensor 'c' has 16 bytes of raw data, its shape and type (f32) need *",
           of([node("Add", ["x", "c"], ["y"])],
              constants=[tensor("c", [2**40, 4], [1, 2, 3, 4])]))


def case_cyclic(t):
    refuse(t, "E_FORMAT", "node 0 Add 'first' needs its own output: the graph has a cycle",
           of([node("Add", ["x", "b"], ["a"], name="first"),
               node("Relu", ["a"], ["b"], name="second"), node("Relu", ["b"], ["y"])]))
    refuse(t, "E_FORMAT", "node 0 Add 'own' needs its own output: the graph has a cycle",
           of([node("Add", ["x", "a"], ["a"], name="own"), node("Relu", ["a"], ["y"])]))


def case_duplicate_names(t):
    refuse(t, "E_FORMAT", "node 1 Abs 'second': output 0 'a' has the name of another value, *",
           of([node("Relu", ["x"], ["a"], name="first"), node("Abs", ["x"], ["a"], name="second"),
               node("Relu", ["a"], ["y"])]))
    refuse(t, "E_FORMAT", "the name 'x' is given to two values, names must be unique",
           of([node("Relu", ["x"], ["y"])], X + X))
    refuse(t, "E_FORMAT", "output 'y' is listed twice",
           of([node("Relu", ["x"], ["y"])], X, Y + Y))


def case_unknown_operator(t):
    refuse(t, "E_UNSUPPORTED", "node 0 Frobnicate 'odd': operator Frobnicate of domain *",
           of([node("Frobnicate", ["x"], ["y"], name="odd")]))


def case_unknown_opset(t):
    for opset in (6, 26, 99):
        refuse(t, "E_UNSUPPORTED",
               f"node 0 Relu: is of opset {opset}, only opsets 7 to 25 are supported",
               of([node("Relu", ["x"], ["y"])], opset=opset))
    refuse(t, "E_UNSUPPORTED", "the file is of ONNX IR version 77, *",
           of([node("Relu", ["x"], ["y"])], ir_version=77))


def case_wrong_types(t):
    refuse(t, "E_FORMAT", "node 0 Add 'sum': inputs 0 and 1 are of types f32 and i64, *",
           of([node("Add", ["x", "i"], ["y"], name="sum")], X + [value("i", [1, 4], I64)]))
    refuse(t, "E_FORMAT", "output 'y' is f32, but declared as i64",
           of([node("Relu", ["x"], ["y"])], X, [value("y", [1, 4], I64)]))
    refuse(t, "E_FORMAT", "value 'x' has the unknown element type 1234",
           of([node("Relu", ["x"], ["y"])], [value("x", [1, 4], 1234)]))


def case_wrong_shapes(t):
    refuse(t, "E_FORMAT", "node 0 MatMul 'product': A has 4 columns but B has 3 rows",
           of([node("MatMul", ["x", "m"], ["y"], name="product")],
              constants=[tensor("m", [3, 4], small_values(12))]))
    refuse(t, "E_FORMAT", "node 0 MaxPool 'pool': kernel_shape has 1 entries, wants 2",
           of([node("MaxPool", ["x"], ["y"], [attr_ints("kernel_shape", [2])], "pool")],
              [value("x", [1, 2, 8, 8])]))
    refuse(t, "E_FORMAT", "*tensor 'c' has 12 bytes of raw data, its shape and type (f32) need 16",
           of([node("Add", ["x", "c"], ["y"])], constants=[tensor("c", [4], [1, 2, 3], F32)]))


def case_wrong_attribute(t):
    refuse(t, "E_FORMAT", "node 0 Softmax 'soft': *axis*",
           of([node("Softmax", ["x"], ["y"], [attr_int("axis", 7)], "soft")]))


def case_dangling(t):
    refuse(t, "E_FORMAT",
           "node 0 Add 'sum': input 1 'ghost' is not made by any node, input or initialiser",
           of([node("Add", ["x", "ghost"], ["y"], name="sum")]))
    refuse(t, "E_FORMAT", "output 'y' is not made by any node, input or initialiser",
           of([node("Relu", ["x"], ["z"])]))


def case_everything_at_once(t):
    """Several findings: a line each, and one that counts them."""
    t.put("m.onnx", of([node("Frobnicate", ["x"], ["a"], name="odd"),
                        node("Add", ["x", "ghost"], ["b"], name="sum"),
                        node("Neg", ["x"], ["y"])]))
    got = t.dyno("build", "--onnx=m.onnx", "--saveEngine=m.engine")
    lines = got.stderr.splitlines()
    check(got.returncode == EXIT["E_FORMAT"], got.returncode)
    check(len(lines) == 3 and lines[0].startswith("dyno: node 0 Frobnicate 'odd': ") and
          lines[1].startswith("dyno: node 1 Add 'sum': input 1 'ghost' ") and
          lines[2] == "dyno build: m.onnx: 2 problems", lines)
    check(set(t.files()) == {"m.onnx"}, t.files())


def case_shapes_asked_for(t):
    t.put("m.onnx", good("n"))
    how = ("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=0")
    for text in ("x:ax3", "x:1x", "x:1x-3x6x6", "x:99999999999999999999x3x6x6", "x:1x1x1x1x1x1x1x1x1"):
        shape = text[2:]
        t.fails("E_ARG", f"dyno build: --shapes: '{shape}' is not a shape *", *how,
                f"--shapes={text}")
    t.fails("E_ARG", "dyno build: --shapes: 'x' is not NAME:SHAPE", *how, "--shapes=x")
    t.fails("E_ARG", "dyno build: m.onnx: input 'x' has 4 dimensions, the shape asked for it has 2",
            *how, "--shapes=x:1x3")
    t.fails("E_ARG", "dyno build: m.onnx: a shape is asked for 'q', which is not an input *", *how,
            "--shapes=q:1x3")
    t.fails("E_FORMAT", "dyno build: m.onnx: node 0 Conv 'conv': w has 3 channels a group, *", *how,
            "--shapes=x:2x4x6x6")
    t.fails("E_ARG", "dyno build: the shapes of 'x': size 0 is not min <= opt <= max (4, 2, 2)",
            *how, "--minShapes=x:4x3x6x6", "--maxShapes=x:2x3x6x6")
    t.fails("E_ARG", "dyno build: --shapes fixes the shapes; *", *how, "--shapes=x:1x3x6x6",
            "--minShapes=x:1x3x6x6")
    t.fails("E_ARG", "dyno run: m.onnx: a shape is asked for 'q', which is not an input *", "run",
            "m.onnx", "--shapes=q:1x3")
