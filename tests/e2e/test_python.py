"""The Python package over libdyno: results, errors, threads, shapes, and who copies what.

    DYNO_LIBRARY=libdyno.so python test_python.py --dyno PATH
"""
import argparse
import gc
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "python"), str(HERE.parent / "cli")]

import dyno  # noqa: E402
import onnx_bytes as ob  # noqa: E402


def reference(x):
    """onnx_bytes.good in numpy, f64."""
    x = x.astype(np.float64)
    w = np.array(ob.small_values(216)).reshape(8, 3, 3, 3)
    b = np.array(ob.small_values(8))
    m = np.array(ob.small_values(40)).reshape(8, 5)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    y = np.einsum("ncyxij,kcij->nkyx", windows, w) + b[:, None, None]
    return np.maximum(y, 0).mean(axis=(2, 3)) @ m


def images(batch, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (batch, 3, 6, 6)).astype(np.float32)


class Python(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="dyno-python-")
        cls.path = cls.build("chain", ob.good("n"), "--minShapes=x:1x3x6x6",
                             "--optShapes=x:2x3x6x6", "--maxShapes=x:8x3x6x6")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def build(cls, name, model, *more):
        onnx = pathlib.Path(cls.folder.name, name + ".onnx")
        onnx.write_bytes(model)
        engine = onnx.with_suffix(".engine")
        subprocess.run([PROGRAM, "build", f"--onnx={onnx}", f"--saveEngine={engine}",
                        "--builderOptimizationLevel=0", *more], check=True,
                       stdout=subprocess.DEVNULL)
        return engine

    def check_run(self, engine, x):
        outs = engine.run({"x": x})
        self.assertEqual(list(outs), ["out/y"])
        y = outs["out/y"]
        self.assertEqual((y.dtype, y.shape), (np.float32, (x.shape[0], 5)))
        want = reference(x)
        self.assertLess(np.abs(y - want).max(), 1e-5 * np.ptp(want))
        return y

    def test_result_and_description(self):
        with dyno.Engine(self.path) as engine:
            (x,), (y,) = engine.inputs, engine.outputs
            self.assertEqual((x.name, x.dtype, x.min, x.opt, x.max),
                             ("x", np.float32, (1, 3, 6, 6), (2, 3, 6, 6), (8, 3, 6, 6)))
            self.assertEqual((y.name, y.dtype, y.opt), ("out/y", np.float32, (2, 5)))
            self.assertEqual(engine.warning, "")
            self.check_run(engine, images(2))
            self.assertIn("'x'", repr(x))

    def test_path_objects_and_threads(self):
        for path in (str(self.path), self.path):
            for threads in (0, 1, 3):
                with dyno.Engine(path, threads=threads) as engine:
                    self.check_run(engine, images(3))

    def test_shapes_inside_the_profile(self):
        with dyno.Engine(self.path) as engine:
            for batch in (1, 8, 3, 1, 5, 8):
                self.check_run(engine, images(batch, seed=batch))

    def test_shapes_outside_the_profile(self):
        with dyno.Engine(self.path) as engine:
            for shape, says in (((9, 3, 6, 6), "dimension 0 is 9, outside the profile's 1..8"),
                                ((0, 3, 6, 6), "dimension 0 is 0, outside the profile's 1..8"),
                                ((2, 3, 6, 7), "dimension 3 is 7, wants 6"),
                                ((3, 6, 6), "has 3 dimensions, wants 4"),
                                ((), "has 0 dimensions, wants 4"),
                                ((1,) * 9, "has 9 dimensions, at most 8")):
                with self.assertRaisesRegex(dyno.DynoError, f"^input 'x': {says}$"):
                    engine.run({"x": np.zeros(shape, np.float32)})
            self.check_run(engine, images(2))

    def test_wrong_types(self):
        with dyno.Engine(self.path) as engine:
            for dtype in (np.float64, np.int32, np.float16, np.uint8, np.bool_, ">f4"):
                with self.assertRaisesRegex(dyno.DynoError, "^input 'x': is .*, wants float32$"):
                    engine.run({"x": np.zeros((2, 3, 6, 6), dtype)})
            with self.assertRaisesRegex(dyno.DynoError, "^input 'x': is object, wants float32$"):
                engine.run({"x": None})

    def test_wrong_names(self):
        with dyno.Engine(self.path) as engine:
            with self.assertRaisesRegex(dyno.DynoError, "^input 'x' is missing$"):
                engine.run({})
            with self.assertRaisesRegex(dyno.DynoError, r"^no input is called 'z'; there are \['x'\]$"):
                engine.run({"x": images(1), "z": images(1)})

    def test_bad_files(self):
        with self.assertRaisesRegex(dyno.DynoError, 'cannot open "/nonexistent.engine"'):
            dyno.Engine("/nonexistent.engine")
        damaged = pathlib.Path(self.folder.name, "bad.engine")
        data = bytearray(self.path.read_bytes())
        data[len(data) // 2] ^= 4
        damaged.write_bytes(data)
        with self.assertRaisesRegex(dyno.DynoError, "the engine is damaged"):
            dyno.Engine(damaged)
        with self.assertRaisesRegex(dyno.DynoError, "thread count 65 is outside"):
            dyno.Engine(self.path, threads=65)

    def test_closed(self):
        engine = dyno.Engine(self.path)
        self.check_run(engine, images(1))
        engine.close()
        engine.close()
        with self.assertRaisesRegex(dyno.DynoError, "closed"):
            engine.run({"x": images(1)})

    def test_contiguous_input_is_read_in_place(self):
        with dyno.Engine(self.path) as engine:
            x = images(2)
            x.flags.writeable = False
            slots, kept = engine._bind_inputs({"x": x})
            self.assertEqual(slots[0].data, x.ctypes.data)
            self.assertEqual(slots[0].bytes, x.nbytes)
            self.assertTrue(np.shares_memory(kept[0], x))
            self.check_run(engine, x)

    def test_other_inputs_are_copied_right(self):
        with dyno.Engine(self.path) as engine:
            wide = np.random.default_rng(1).uniform(-1, 1, (4, 3, 12, 6)).astype(np.float32)
            for x in (wide[::2, :, ::2], np.asfortranarray(images(3)), images(2)[::-1],
                      images(2).transpose(0, 1, 3, 2), np.broadcast_to(images(1), (4, 3, 6, 6))):
                self.assertFalse(x.flags.c_contiguous)
                slots, _ = engine._bind_inputs({"x": x})
                self.assertNotEqual(slots[0].data, x.ctypes.data)
                self.check_run(engine, x)

    def test_outputs_are_the_callers(self):
        with dyno.Engine(self.path) as engine:
            first = self.check_run(engine, images(2, seed=1))
            before = first.copy()
            second = self.check_run(engine, images(2, seed=2))
            np.testing.assert_array_equal(first, before)
            self.assertFalse(np.shares_memory(first, second))
            self.assertTrue(first.flags.writeable and first.flags.owndata)
        np.testing.assert_array_equal(first, before)  # also after the engine is gone

    def test_outputs_go_where_they_shall(self):
        with dyno.Engine(self.path) as engine:
            x = images(2)
            want = self.check_run(engine, x)
            y = np.zeros((2, 5), np.float32)
            self.assertIs(engine.run({"x": x}, into={"out/y": y})["out/y"], y)
            np.testing.assert_array_equal(y, want)
            fixed = np.zeros((2, 5), np.float32)
            fixed.flags.writeable = False
            for given, says in ((np.zeros((2, 4), np.float32), r"has shape \(2, 4\), wants \(2, 5\)"),
                                (np.zeros((2, 5)), "is float64, wants float32"),
                                (np.zeros((2, 10), np.float32)[:, ::2], "is not C-contiguous"),
                                (fixed, "is read-only"), ([0.0] * 10, "is a list, wants a numpy array.*")):
                with self.assertRaisesRegex(dyno.DynoError, f"^output 'out/y': {says}$"):
                    engine.run({"x": x}, into={"out/y": given})
            with self.assertRaisesRegex(dyno.DynoError, r"^no output is called 'y'; there are \['out/y'\]$"):
                engine.run({"x": x}, into={"y": y})

    def test_memory_of_a_gpu_without_one(self):
        class There:
            __cuda_array_interface__ = {"shape": (2, 3, 6, 6), "typestr": "<f4", "data": (4096, False), "version": 3}
        with dyno.Engine(self.path) as engine:
            with self.assertRaisesRegex(dyno.DynoError, "^input 'x': lies in memory of a GPU, and the engine is for the CPU$"):
                engine.run({"x": There()})
            There.__cuda_array_interface__["stream"] = 1
            dyno._driver.cache_clear()
            with unittest.mock.patch("ctypes.CDLL", side_effect=OSError("libcuda.so.1: not here")):
                with self.assertRaisesRegex(dyno.DynoError, "^input 'x': its stream cannot be waited for: libcuda.so.1: not here$"):
                    engine.run({"x": There()})

    def test_shapes_that_depend_on_data(self):
        nodes = [ob.node("Greater", ["x", "zero"], ["mask"]),
                 ob.node("NonZero", ["mask"], ["where"], name="list")]
        graph = ob.graph(nodes, [ob.value("x", ["n", 4])], [ob.value("where", [2, "k"], ob.I64)],
                         [ob.tensor("zero", [], [0.0])])
        path = self.build("open", ob.model(graph))
        rng = np.random.default_rng(3)
        with dyno.Engine(path) as engine:
            self.assertEqual(engine.inputs[0].max[0], None)
            for rows in (1, 7, 3):
                x = rng.uniform(-1, 1, (rows, 4)).astype(np.float32)
                got = engine.run({"x": x})["where"]
                np.testing.assert_array_equal(got, np.stack(np.nonzero(x > 0)))
            got = engine.run({"x": -np.ones((2, 4), np.float32)})["where"]
            self.assertEqual((got.shape, got.dtype), ((2, 0), np.int64))

    def test_threads_share_an_engine(self):
        wrong = []

        def serve(idx, engine):
            try:
                for turn in range(30):
                    self.check_run(engine, images(1 + (turn + idx) % 8, seed=idx * 100 + turn))
            except Exception as error:  # told by the main thread
                wrong.append(error)

        with dyno.Engine(self.path, threads=2) as engine:
            threads = [threading.Thread(target=serve, args=(i, engine)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])

    def test_nothing_is_kept(self):
        def resident():
            with open("/proc/self/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * 4096

        for _ in range(20):
            dyno.Engine(self.path).run({"x": images(8)})
        gc.collect()
        before = resident()
        for _ in range(150):
            dyno.Engine(self.path).run({"x": images(8)})
        gc.collect()
        self.assertLess(resident() - before, 8 << 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dyno", required=True)
    known, rest = parser.parse_known_args()
    PROGRAM = known.dyno
    unittest.main(argv=[sys.argv[0], *rest])
