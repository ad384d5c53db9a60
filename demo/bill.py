"""Two tenants read the page, one on the unoptimised execution and one on the tuned engines; what each used, what each
pays under three tariffs, what is left to the platform, and the proof of one line."""
import datetime
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tritonclient.http as http
from read_page import read_page_over_network

# Where they are certified: the page as RapidOCR scales it, and the widths of its lines, at most six at once.
POINTS = {"ocr_det": ["--points=x[2]:736", "--points=x[3]:1472"],
          "ocr_rec": ["--minShapes=x:1x3x48x8", "--optShapes=x:6x3x48x758", "--maxShapes=x:6x3x48x8192",
                      "--points=x[3]:758,861"],
          "ocr_cls": []}

READS = 10  # the first one of each waits for memory that nobody has touched yet

# A made-up platform: 3000 USD a device-hour, which costs it 1800, so that some seconds of use show; users get half of
# what optimising saves.
HOUR = {"device_hour": "3000.00", "cost_hour": "1800.00", "currency": "USD", "version": 1}


def run(*command, says=None):
    got = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=False)
    if got.returncode != 0:
        sys.exit(f"{command[1]} ended with {got.returncode}")
    if says is not None:
        print(says)
    return got.stdout


def certify(args, model, engine, folder):
    """Trial certificates: in seconds, marked, and no bill is ever made by them."""
    stamp = folder / f"{engine.name}.done"
    if not stamp.exists():
        print(f"certifying {model['title']} (trial) ...", file=sys.stderr, flush=True)
        run(args.dyno, "certify", args.cache / model["file"], f"--engine={engine}", f"--out={folder}", "--trial", "--attempts=1",
            f"--saveBaseline={folder / (model['served'] + '.baseline.engine')}", "--json", *POINTS[model["served"]])
        stamp.write_text("")


def fill(folder, models, engines, certificates):
    """Each model with two variants: fp32, the engine, and unoptimised."""
    repository = folder / "repository"
    for model, engine in zip(models, engines):
        place = repository / model["served"] / "1"
        place.mkdir(parents=True)
        (place / "fp32.engine").symlink_to(engine)
        (place / "unoptimised.engine").symlink_to(certificates / f"{model['served']}.baseline.engine")
    return repository


def book(folder, cores):
    path = folder / "tariffs.json"
    hour = {**HOUR, "device_cores": cores}
    path.write_text(json.dumps({
        "tariffs": [{**hour, "name": "gain-share", "kind": "gain-share", "share": "0.5"},
                    {**hour, "name": "device-hour", "kind": "device-hour"},
                    {**hour, "name": "flat-epu", "kind": "flat-epu", "epu_hour": "2000.00"}],
        "grants": [{"tariff": "gain-share"}]}))
    return path


def tenants(args, folder):
    """Name, the variant it asks for, its key."""
    control = folder / "control.db"
    rows = []
    for name, variant in (("plain", "unoptimised"), ("tuned", "fp32")):
        key = json.loads(run(args.dyno, "tenant", "add", name, f"--control-db={control}", "--json"))["key"]
        rows.append((name, variant, key))
    return control, rows


def read_as_both(args, models, page, rows, url):
    """Each reads the page READS times; the records of its requests."""
    paths, names = [args.cache / m["file"] for m in models], [m["served"] for m in models]
    records = {}
    for name, variant, key in rows:
        records[name] = []
        for _ in range(READS):
            lines = read_page_over_network(args.dyno, paths, names, page, url, http,
                                           headers={"Authorization": f"Bearer {key}"},
                                           parameters={"variant": variant}, records=records[name])
        print(f"  {name} read {len(lines)} lines {READS} times on {variant}: {len(records[name])} requests")
    return records


def show(args, models, baselines, engines, page, serving):
    """baselines are of the table; a certificate names the one that it was measured with."""
    certificates = args.cache / "certificates" / hashlib.sha256(b"".join(
        pathlib.Path(e).name.encode() for e in (*baselines, *engines))).hexdigest()[:16]
    certificates.mkdir(parents=True, exist_ok=True)
    for model, engine in zip(models, engines):
        certify(args, model, engine, certificates)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dyno-demo-"))
    try:
        bill(args, models, engines, page, serving, folder, certificates)
    finally:
        shutil.rmtree(folder)


def bill(args, models, engines, page, serving, folder, certificates):
    ledger = folder / "ledger"
    control, rows = tenants(args, folder)
    cores = json.loads(next(certificates.glob("*.reference.json")).read_text())["device"]["threads"]
    tariffs = book(folder, cores)
    print("\ntwo tenants, every request metered before its answer leaves:\n")
    with serving(args, fill(folder, models, engines, certificates), f"--control-db={control}", f"--ledger={ledger}",
                 f"--certificates={certificates}", "--accept-trials") as ports:
        records = read_as_both(args, models, page, rows, f"127.0.0.1:{ports['http']}")
    today = datetime.datetime.now(datetime.timezone.utc).date()
    ask = [f"--ledger={ledger}", f"--certificates={certificates}", f"--since={today - datetime.timedelta(days=1)}"]
    print("\nwhat was used:\n\n" + run(args.dyno, "usage", *ask))
    print(run(args.dyno, "invoice", *ask, f"--tariffs={tariffs}", "--platform=Demo Platform"))
    print("the same work under three tariffs, and the platform's side of it:\n")
    print(run(args.dyno, "whatif", *ask, f"--tariffs={tariffs}", "--tariff=device-hour", "--tariff=flat-epu"))
    print(run(args.dyno, "ledger", "verify", ledger))
    proof = folder / "proof"
    proof.write_text(run(args.dyno, "ledger", "prove", records["tuned"][0], ledger))
    print(f"record {records['tuned'][0]} of tuned, proved without the ledger:\n")
    print(run(args.dyno, "ledger", "verify", f"--proof={proof}"))
