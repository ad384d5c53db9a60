"""Arrays that do not fit, and folders that are not there."""
from onnx_bytes import good, npy


def prepare(t):
    t.put("m.onnx", good())
    t.works("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=0")
    (t.folder / "out").mkdir()


def refuse(t, status, says, data):
    t.put("x.npy", data)
    t.fails(status, "dyno run: " + says, "run", "m.engine", "--input", "x=x.npy", "--output", "out")
    t.fails(status, "dyno run: " + says, "run", "m.onnx", "--input=x=x.npy", "--output=out")
    t.fails(status, "dyno bench: " + says, "bench", "--loadEngine=m.engine", "--loadInputs=x:x.npy")


def case_wrong_type(t):
    prepare(t)
    refuse(t, "E_ARG", "input 'x': 'x.npy' holds i32, wants f32", npy([2, 3, 6, 6], "<i4"))
    refuse(t, "E_ARG", "input 'x': 'x.npy' holds f64, wants f32", npy([2, 3, 6, 6], "<f8"))
    refuse(t, "E_UNSUPPORTED", "x.npy: npy type '>f4' is not supported: *",
           npy([2, 3, 6, 6], ">f4"))
    refuse(t, "E_UNSUPPORTED", "x.npy: npy type '|O8' is not supported: *",
           npy([2, 3, 6, 6], "|O8"))


def case_wrong_shape(t):
    prepare(t)
    refuse(t, "E_ARG", "input 'x': has 3 dimensions, wants 4", npy([3, 6, 6]))
    refuse(t, "E_ARG", "input 'x': has 0 dimensions, wants 4", npy([]))
    refuse(t, "E_ARG", "input 'x': dimension 3 is 7, wants 6", npy([2, 3, 6, 7]))
    refuse(t, "E_ARG", "input 'x': dimension 0 is 0, wants 2", npy([0, 3, 6, 6]))


def case_damaged(t):
    prepare(t)
    whole = npy([2, 3, 6, 6])
    refuse(t, "E_FORMAT", "x.npy: npy file holds 856 bytes of data, its header asks for 864",
           whole[:-8])
    refuse(t, "E_FORMAT", "x.npy: npy file holds 865 bytes of data, its header asks for 864",
           whole + b"\0")
    refuse(t, "E_FORMAT", "x.npy: not an npy file: *", b"hello")
    refuse(t, "E_FORMAT", "x.npy: *", whole[:30])
    refuse(t, "E_FORMAT", "x.npy: *", b"")


def case_wrong_name(t):
    prepare(t)
    t.put("x.npy", npy([2, 3, 6, 6]))
    t.fails("E_ARG", "dyno run: 'z=x.npy' names no input of the engine (NAME=FILE.npy)", "run",
            "m.engine", "--input", "z=x.npy")
    t.fails("E_ARG", "dyno run: 'x' names no input of the engine (NAME=FILE.npy)", "run",
            "m.engine", "--input", "x")
    t.fails("E_NOT_FOUND", 'dyno run: cannot open "none.npy": No such file or directory', "run",
            "m.engine", "--input", "x=none.npy")


def case_output_folder(t):
    prepare(t)
    t.fails("E_IO", "dyno run: output folder 'nowhere' is not there", "run", "m.engine", "--output",
            "nowhere")
    t.fails("E_IO", "dyno run: output folder 'm.onnx' is not there", "run", "m.engine", "--output",
            "m.onnx")
    gone = "cannot write 'nowhere/f': the folder 'nowhere' is not there"
    t.fails("E_IO", "dyno build: " + gone, "build", "--onnx=m.onnx", "--saveEngine=nowhere/f")
    t.fails("E_IO", "dyno build: " + gone, "build", "--onnx=m.onnx", "--saveEngine=e",
            "--timingCacheFile=nowhere/f")
    t.fails("E_IO", "dyno bench: " + gone, "bench", "--loadEngine=m.engine",
            "--exportTimes=nowhere/f")


def case_target_is_a_folder(t):
    prepare(t)
    t.fails("E_IO", 'dyno build: cannot rename a finished file to "out": Is a directory', "build",
            "--onnx=m.onnx", "--saveEngine=out", "--builderOptimizationLevel=0")
