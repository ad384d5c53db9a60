"""What lies in deploy/: it means what the server does, and what can be tried here works."""
import json
import os
import re
import shlex
import shutil
import subprocess

from harness import ROOT, Server, check

DEPLOY = ROOT / "deploy"
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                               "data": list(range(16))}]})


def run(*command, **how):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **how)


def effective(t, *flags):
    """The configuration that these flags make, by the program itself: wrong ones are refused."""
    got = run(t.build / "dyno-serve", "--print-config", *flags)
    check(got.returncode == 0, got.stderr)
    return json.loads(got.stdout)


def patience(config):
    """Seconds from SIGTERM to the end, at most."""
    return config["drain-secs"] + config["exit-timeout-secs"]


def documents(path):
    import yaml
    return [d for d in yaml.safe_load_all((DEPLOY / path).read_text()) if d is not None]


# --- systemd ---

def case_systemd_unit(t):
    unit = (DEPLOY / "systemd/dyno-serve.service").read_text()
    rows = dict(re.findall(r"^(\w+)=(.*)$", unit, re.M))
    check(rows["Type"] == "notify" and rows["KillMode"] == "mixed", rows)
    check(float(rows["TimeoutStopSec"]) > patience(effective(t)), "it is killed while it drains")
    program, flag = rows["ExecStart"].split()
    check(program == "/usr/bin/dyno-serve", program)
    users = (DEPLOY / "systemd/sysusers.conf").read_text()
    check(f"u {rows['User']} " in users, users)
    path = t.folder / "serve.json"
    path.write_text("{}")
    effective(t, flag.replace("/etc/dyno/serve.json", str(path)))
    if shutil.which("systemd-analyze") is None:
        print("skipped: there is no systemd-analyze")
        return
    here = t.folder / "dyno-serve.service"
    here.write_text(unit.replace(program, str(t.build / "dyno-serve")))
    got = run("systemd-analyze", "verify", "--man=no", here)
    check(got.returncode == 0 and not got.stderr, got.stderr)
    got = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", here)
    check(got.returncode == 0, got.stdout[-2000:])


# --- containers ---

def case_root_file_system(t):
    """A root of the program and its libraries alone serves, as somebody without rights."""
    if "release" not in t.build.name:
        return
    if os.geteuid() != 0 or run("unshare", "-m", "true").returncode != 0:
        print("skipped: this needs root, and a mount namespace")
        return
    root = t.folder / "root"
    script = DEPLOY / "container/rootfs.sh"
    made = run(script, root, t.build / "dyno-serve", t.build / "dyno")
    check(made.returncode == 0, made.stderr)
    size = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    print(made.stdout.strip())
    check(size < 10e6, "the whole has", size, "bytes")
    names = {p.name for p in root.rglob("*") if p.is_file()}
    check(not names & {"sh", "bash", "busybox"} and "dyno-serve" in names, names)
    t.put("identity", "identity")
    (t.repository / "built/1").mkdir(parents=True)
    shutil.copy(t.build / "serve-engines/identity.onnx", t.repository / "built/1/model.onnx")
    shutil.copytree(t.repository, root / "models", dirs_exist_ok=True)
    t.folder.chmod(0o755)
    log = t.folder / "log"
    with open(log, "w", encoding="utf8") as err:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c",
             'mount --bind /proc "$0/proc" && exec chroot --userspec=65532:65532 "$0" "$@"', root,
             "/usr/bin/dyno-serve", "--model-repository=/models", "--http-port=0", "--grpc-port=0",
             "--metrics-port=0", "--drain-secs=0", "--json",
             "--engine-cache=/var/cache/dyno/engines"],
            stdout=subprocess.PIPE, stderr=err, text=True)
    hello = process.stdout.readline()
    check(hello, log.read_text())
    server = Server(process, json.loads(hello), log)
    t.servers.append(server)
    server.wait_ready()
    for model in ("identity", "built"):
        status, _, text = server.request("POST", f"/v2/models/{model}/infer", BODY)
        check(status == 200 and json.loads(text)["outputs"][0]["data"] == list(range(16)), text)
    check(os.stat(f"/proc/{server.worker()}").st_uid == 65532, "it runs as somebody else")
    again = run(script, root, t.build / "dyno-serve")
    check(again.returncode == 73 and "is there already" in again.stderr, again)
    missing = run(script, t.folder / "other", t.build / "dyno-serve", "libnothing.so.9")
    check(missing.returncode == 66 and "no library libnothing.so.9" in missing.stderr, missing)


def case_dockerfile(t):
    text = (DEPLOY / "container/Dockerfile").read_text()
    check(re.search(r"^USER 65532:65532$", text, re.M) and "FROM scratch" in text, text)
    for path in ("packages.txt", "scripts/setup.sh", "deploy/container/rootfs.sh"):
        check(path in text and (ROOT / path).exists(), path)
    example = re.search(r"--model-repository.*", text).group(0)
    effective(t, *shlex.split(example))


# --- Kubernetes ---

def case_kubernetes(t):
    kinds = {}
    for item in documents("kubernetes/deployment.yaml") + documents("kubernetes/autoscaler.yaml"):
        kinds.setdefault(item["kind"], []).append(item)
    deployment, = kinds["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    container, = pod["containers"]
    config = effective(t, *container["args"])
    check(pod["terminationGracePeriodSeconds"] > patience(config), "it is killed while it drains")
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    check(ports == {k: config[f"{k}-port"] for k in ("http", "grpc", "metrics")}, ports)
    for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
        check(container[f"{probe}Probe"]["httpGet"] == {"path": f"/v2/health/{path}",
                                                        "port": "http"}, probe)
    ready = container["readinessProbe"]
    check(ready["periodSeconds"] * ready["failureThreshold"] < config["drain-secs"],
          "it ends before it is known not to be ready")
    check(pod["securityContext"]["runAsNonRoot"] and
          container["securityContext"]["readOnlyRootFilesystem"] and
          container["securityContext"]["capabilities"]["drop"] == ["ALL"], "it may too much")
    mounts = {m["mountPath"] for m in container["volumeMounts"]}
    check(set(config["model-repository"]) <= mounts, config["model-repository"], mounts)
    notes = deployment["spec"]["template"]["metadata"]["annotations"]
    check(notes["prometheus.io/port"] == str(ports["metrics"]), notes)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for service in kinds["Service"]:
        check(service["spec"]["selector"].items() <= labels.items(), service)
        grpc, = [p for p in service["spec"]["ports"] if p["name"] == "grpc"]
        check(grpc["appProtocol"] == "kubernetes.io/h2c" and grpc["targetPort"] == "grpc", grpc)
    scaler, = kinds["HorizontalPodAutoscaler"]
    check(scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"])
    rule = kinds["ConfigMap"][0]["data"]["rule.yaml"]
    metric = scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    check(f"as: {metric}" in rule, metric, "is not in the rule")
    server = t.start()
    check(server.request("POST", "/v2/models/identity/infer", BODY)[0] == 200)
    for name in set(re.findall(r"dyno_\w+_(?:sum|count)", rule)):
        server.metric(name, model="identity")


def case_kubernetes_fleet(t):
    """Nodes with ledgers: each with a number and a volume of its own, and no password where others see it."""
    nodes, = documents("kubernetes/fleet.yaml")
    template = nodes["spec"]["template"]
    pod = template["spec"]
    container, = pod["containers"]
    config = effective(t, *[a.replace("$(NODE)", "1") for a in container["args"]])
    check(pod["terminationGracePeriodSeconds"] > patience(config) + 5, "it is killed while it ships")
    check("--node=$(NODE)" in container["args"] and config["node"] == 1, container["args"])
    env = {e["name"]: e["valueFrom"] for e in container["env"]}
    check("pod-index" in env["NODE"]["fieldRef"]["fieldPath"] and "secretKeyRef" in env["PGPASSWORD"], env)
    check("password" not in config["fleet-ledger"], config["fleet-ledger"])
    claims = {c["metadata"]["name"] for c in nodes["spec"]["volumeClaimTemplates"]}
    folders = {m["mountPath"] for m in container["volumeMounts"] if m["name"] in claims}
    check(any(config["ledger"].startswith(folder + "/") for folder in folders), config["ledger"], folders)
    check(nodes["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"})
    services = {d["metadata"]["name"]: d for d in documents("kubernetes/deployment.yaml") if d["kind"] == "Service"}
    check(services[nodes["spec"]["serviceName"]]["spec"]["selector"].items() <= template["metadata"]["labels"].items())


def case_kserve(t):
    runtime, = documents("kubernetes/kserve-runtime.yaml")
    check(runtime["apiVersion"] == "serving.kserve.io/v1alpha1" and
          runtime["kind"] == "ClusterServingRuntime", runtime)
    container, = runtime["spec"]["containers"]
    check(container["name"] == "kserve-container", container["name"])
    config = effective(t, *container["args"])
    check(config["model-repository"] == ["/mnt/models"], config)
    check((config["http-port"], config["grpc-port"]) == (8080, 9000), config)
    check(runtime["spec"]["annotations"]["prometheus.kserve.io/port"] ==
          str(config["metrics-port"]))
    check(patience(config) < 30, "longer than a pod has by default")
    check(runtime["spec"]["protocolVersions"] == ["v2", "grpc-v2"], runtime)
    formats = {f["name"] for f in runtime["spec"]["supportedModelFormats"]}
    for service in documents("kubernetes/kserve-example.yaml"):
        model = service["spec"]["predictor"]["model"]
        check(model["modelFormat"]["name"] in formats, model)
        check(model["runtime"] == runtime["metadata"]["name"], model)
        if model["protocolVersion"] == "grpc-v2":
            check(model["ports"] == [{"name": "h2c", "protocol": "TCP", "containerPort": 9000}],
                  model)


# --- proxies ---

# Conditions after which no node has begun with a request.
SAFE = {"connect-failure", "refused-stream", "unavailable", "retriable-status-codes"}


def case_envoy(t):
    config, = documents("envoy/envoy.yaml")
    defaults = effective(t)
    clusters = {c["name"]: c for c in config["static_resources"]["clusters"]}
    for listener in config["static_resources"]["listeners"]:
        name = listener["name"]
        port = defaults[f"{name}-port"]
        check(listener["address"]["socket_address"]["port_value"] == port, listener)
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        route = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
        retry = route["retry_policy"]
        check(set(retry["retry_on"].split(",")) <= SAFE, retry)
        check(retry.get("retriable_status_codes", [503]) == [503], retry)
        cluster = clusters[route["cluster"]]
        check_, = cluster["health_checks"]
        check(check_["http_health_check"]["path"] == "/v2/health/ready", check_)
        # Out here before the node closes its listeners.
        late = float(check_["interval"][:-1]) * (check_["unhealthy_threshold"] + 1)
        check(late < defaults["drain-secs"], late)
        for point in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]:
            address = point["endpoint"]["address"]["socket_address"]
            check(address["port_value"] == port, address)
            checked = point["endpoint"].get("health_check_config", address)["port_value"]
            check(checked == defaults["http-port"], point)
    http2 = clusters["nodes_grpc"]["typed_extension_protocol_options"]
    check("http2_protocol_options" in next(iter(http2.values()))["explicit_http_config"], http2)


def case_haproxy(t):
    text = (DEPLOY / "haproxy/haproxy.cfg").read_text()
    check(re.findall(r"^\s*retry-on (.*)$", text, re.M) == ["conn-failure 503"], "unsafe retries")
    if shutil.which("haproxy") is None:
        print("skipped: there is no haproxy")
        return
    path = t.folder / "haproxy.cfg"
    path.write_text(re.sub(r"node\d\.example", "127.0.0.1", text))
    got = run("haproxy", "-c", "-f", path)
    check(got.returncode == 0, got.stdout, got.stderr)
