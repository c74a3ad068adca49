"""The way between the server and a real API server: slow, cut again and again, silent."""

import threading

import pytest

from apiproxy import ApiProxy
from harness import eventually

LOG = "".join(f"line {i}\n" for i in range(1, 301)) + "last\n"
SCRIPT = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; gate end; echo last; exit 3"


@pytest.fixture
def proxy(place):
    with ApiProxy(place.cluster) as proxy:
        yield proxy


def test_a_slow_way_loses_nothing(place, proxy):
    server = place.server(proxy.kubeconfig(place.kubeconfig))
    proxy.delay, proxy.pace = 0.05, 20_000  # each line comes as a piece of its own
    child = place.attach(server, SCRIPT)
    place.witness.open("end")
    out, err = child.communicate(timeout=240)
    assert (child.returncode, out.decode()) == (3, LOG), err
    place.check(server, place.newest(server), state="failed", exit_code=3, log=LOG)


def test_connections_that_are_cut_again_and_again(place, proxy):
    """From before the run is asked for until it has ended; lines come all the time."""
    server = place.server(proxy.kubeconfig(place.kubeconfig))
    over, cuts = threading.Event(), []

    def cutting():
        while not over.wait(0.4):
            cuts.append(proxy.cut())
    thread = threading.Thread(target=cutting)
    thread.start()
    try:
        child = place.attach(server, "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 3")
        out, err = child.communicate(timeout=240)
        wanted = "".join(f"line {i}\n" for i in range(1, 401))
        assert (child.returncode, out.decode()) == (3, wanted), err
    finally:
        over.set()
        thread.join()
    assert sum(cuts) > 10, cuts
    place.check(server, place.newest(server), state="failed", exit_code=3, log=wanted)


@pytest.mark.parametrize("then", ["it speaks again", "it is cut"])
def test_a_way_that_falls_silent(place, proxy, then):
    """All connections stay open, and nothing comes: meanwhile the command ends."""
    server = place.server(proxy.kubeconfig(place.kubeconfig))
    run = place.detach(server, "seq 1 500; gate end; echo last; touch /witness/over; exit 3")
    place.speaking(server, run, 1500)
    proxy.hold()
    place.witness.open("end")
    eventually((place.witness.folder / "over").exists, "the command has ended")
    assert place.record(server, run)["state"] == "running"
    if then == "it is cut":
        proxy.cut()
    proxy.pass_on()
    place.check(server, run, state="failed", exit_code=3, log="".join(f"{i}\n" for i in range(1, 501)) + "last\n")


def test_half_an_answer(place, proxy):
    """The answer to the create is cut in the middle: half a JSON document."""
    server = place.server(proxy.kubeconfig(place.kubeconfig))
    trap = proxy.trap("POST", "/jobs", lambda: None, when="halved")
    child = place.attach(server, "exit 3")
    trap.wait()
    assert child.wait(240) == 3, child.stderr.read()
    place.check(server, place.newest(server), state="failed", exit_code=3)


def test_a_list_that_is_older_than_what_a_watch_told(place, proxy):
    """The answer to the release is lost, so the server looks: its list of pods, without one, comes after
    the watch has told of the pod."""
    server = place.server(proxy.kubeconfig(place.kubeconfig))
    lost = proxy.trap("PATCH", "/jobs/", lambda: None, when="answered")
    late = proxy.trap("GET", "oddjob.dev/run-id=", place.started, when="late")
    child = place.attach(server, "exit 3")
    lost.wait()
    late.wait()
    assert child.wait(240) == 3, child.stderr.read()
    place.check(server, place.newest(server), state="failed", exit_code=3)
