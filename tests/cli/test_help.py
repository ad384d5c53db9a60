"""--help, the man page, and command lines that are wrong."""
import re
import shutil
import subprocess

from harness import EXIT, Failure, check


def commands(t):
    text = t.works("--help")
    return re.findall(r"^  ([a-z]+) +\S", text, re.M)


def case_every_command_has_help(t):
    names = commands(t)
    check({"build", "bench", "run", "compare", "inspect", "man"} <= set(names), names)
    for name in names:
        if name == "man":
            continue
        text = t.works(name, "--help")
        check(f"usage: dyno {name}" in text, name, text)
        check(text == t.works(name, "-h"), name, "-h differs from --help")
        check("--json" in text, name, "has no --json")
        check(max(map(len, text.splitlines())) <= 100, name, "has a line over 100 columns")


def case_help_lists_every_exit_code(t):
    text = t.works("--help")
    check(text == t.works("help") == t.works("-h"))
    for name, code in EXIT.items():
        check(re.search(rf"^  {code} ", text, re.M), name, code, "is not in", text)
    codes = [int(code) for code in re.findall(r"^  (\d+) ", text, re.M)]
    check(codes == sorted(set(codes)) == sorted(set(EXIT.values())), codes)


def case_help_of_a_command(t):
    check(t.works("help", "invoice") == t.works("invoice", "--help"))
    t.fails("E_ARG", "dyno: there is no command 'frob' (see dyno --help)", "help", "frob")


def case_help_goes_before_everything_else(t):
    check("usage: dyno build" in t.works("build", "--onnx=nothing.onnx", "--help"))


def case_version(t):
    check(re.fullmatch(r"dyno \d+\.\d+\.\d+\n", t.works("--version")))


def case_no_command(t):
    got = t.dyno()
    check(got.returncode == EXIT["E_ARG"], got.returncode)
    check("usage: dyno COMMAND" in got.stdout)


def case_unknown_command(t):
    t.fails("E_ARG", "dyno: there is no command 'frob' (see dyno --help)", "frob")


def case_unknown_flag(t):
    for name in ("build", "bench", "run", "compare", "inspect"):
        t.fails("E_ARG", f"dyno {name}: there is no flag --frob (see dyno {name} --help)", name,
                "--frob=1")


def case_missing_flags(t):
    t.fails("E_ARG", "dyno build: --onnx=FILE is missing", "build")
    t.fails("E_ARG", "dyno build: --saveEngine=FILE is missing", "build", "--onnx=m.onnx")
    t.fails("E_ARG", "dyno bench: give either --loadEngine=FILE or --onnx=FILE", "bench")
    t.fails("E_ARG", "dyno bench: give either --loadEngine=FILE or --onnx=FILE", "bench",
            "--onnx=m.onnx", "--loadEngine=m.engine")


def case_wrong_number_of_files(t):
    t.fails("E_ARG", "dyno run: wants ENGINE|MODEL.onnx, got 0 *", "run")
    t.fails("E_ARG", "dyno run: wants ENGINE|MODEL.onnx, got 2 *", "run", "a.engine", "b.engine")
    t.fails("E_ARG", "dyno compare: wants A B, got 1 *", "compare", "a.engine")
    t.fails("E_ARG", "dyno build: 'm.onnx' belongs to no flag, and this takes flags only (see dyno build --help)", "build", "m.onnx")


def case_flag_values(t):
    both = ("--onnx=m.onnx", "--saveEngine=m.engine")
    t.fails("E_ARG", "dyno build: --onnx wants a value: --onnx=FILE", "build", "--onnx")
    t.fails("E_ARG", "dyno build: --onnx wants a value: --onnx=FILE", "build", "--onnx=")
    t.fails("E_ARG", "dyno build: --baseline takes no value but true or false", "build",
            "--baseline=yes")
    t.fails("E_ARG", "dyno build: --onnx=FILE is missing", "build", "--baseline=true",
            "--exact=false")
    for value in ("6", "-1", "1.5", "two", "99999999999999999999"):
        t.fails("E_ARG", f"dyno build: --builderOptimizationLevel={value}: wants a whole number "
                "between 0 and 5", "build", f"--builderOptimizationLevel={value}", *both)
    t.fails("E_ARG", "dyno build: --memPoolSize=big: wants workspace:MiB", "build", *both,
            "--memPoolSize=big")
    t.fails("E_UNSUPPORTED", "dyno build: --device=toaster: this build knows cpu, cuda and cuda:N",
            "build", *both, "--device=toaster")
    t.fails("E_UNSUPPORTED", "dyno build: --fp16 and --bf16 go with --device=cuda: *", "build", *both, "--fp16")
    t.fails("E_UNSUPPORTED", "dyno build: --tf32 goes with --device=cuda: *", "build", *both, "--tf32")
    t.fails("E_ARG", "dyno build: give either --tf32 or --noTF32", "build", *both, "--device=cuda", "--tf32", "--noTF32")
    t.fails("E_UNSUPPORTED", "dyno build: --layerPrecisions goes with --device=cuda: *", "build", *both, "--layerPrecisions=*:fp32")
    t.fails("E_UNSUPPORTED", "dyno build: --accuracyBudget goes with --device=cuda: *", "build", *both, "--accuracyBudget=0.02")
    t.fails("E_ARG", "dyno build: --accuracyBudget=1: wants a number between 0 and 0.999", "build", *both, "--accuracyBudget=1")
    t.fails("E_UNSUPPORTED", "dyno build: --lean goes with --device=cuda: *", "build", *both, "--lean")
    t.fails("E_ARG", "dyno inspect: it knows *, not 'toaster'", "inspect", "toaster", "x")


def case_man_page(t):
    page = t.works("man")
    check(page.startswith(".TH DYNO 1 "), page[:40])
    for name in commands(t):
        if name != "man":
            check(f".SS dyno {name}" in page, name, "is not in the man page")
            for flag in re.findall(r"^  (--\w+)", t.works(name, "--help"), re.M):
                check(flag.replace("-", r"\-") in page, flag, "is not in the man page")
    for name, code in EXIT.items():
        check(f".TP\n{code}\n" in page, name, "is not in the man page")
    if shutil.which("man") is None or shutil.which("groff") is None:
        return
    path = t.put("dyno.1", page.encode())
    got = subprocess.run(["man", "--warnings", "-l", path], capture_output=True, text=True,
                         env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
                         timeout=600, check=False)
    if got.returncode != 0 or got.stderr:
        raise Failure(f"man: exit {got.returncode}, {got.stderr}")
    check("--saveEngine=FILE" in got.stdout, "man shows no --saveEngine=FILE")


def case_full_standard_output(t):
    for args in (["--help"], ["man"], ["build", "--help"], ["--version"]):
        with open("/dev/full", "w", encoding="ascii") as full:
            got = t.dyno(*args, stdout=full)
        check(got.returncode == EXIT["E_IO"], args, got.returncode)
        check("cannot write to standard output: No space left on device" in got.stderr, got.stderr)


def case_an_error_is_one_line(t):
    """Whatever an argument holds that is quoted in it."""
    t.fails("E_NOT_FOUND", 'dyno tariff: cannot open "a?b??31m": No such file or directory', "tariff", "a\nb\x1b\x7f31m")
    t.fails("E_ARG", "dyno usage: there is no flag --a?b*", "usage", "--a\nb")
