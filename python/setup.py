"""Builds libdyno.so with CMake and puts it into the package: `pip install ./python`."""
import pathlib
import subprocess

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

TREE = pathlib.Path(__file__).resolve().parent.parent


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        folder = pathlib.Path(self.get_finalized_command("build").build_temp).resolve() / "cmake"
        subprocess.check_call(["cmake", "-G", "Ninja", "-S", str(TREE), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release"])
        subprocess.check_call(["cmake", "--build", str(folder), "--target", "dyno_shared", "-j"])
        target = pathlib.Path(self.build_lib) / "dyno"
        target.mkdir(parents=True, exist_ok=True)
        self.copy_file(str(folder / "libdyno.so"), str(target / "libdyno.so"))


class BinaryDistribution(Distribution):
    def has_ext_modules(self):
        return True  # the wheel holds machine code


setup(cmdclass={"build_py": BuildWithLibrary}, distclass=BinaryDistribution)
