"""Every event in every mode: the whole table, written down a second time as a person would say it."""

import pytest

from genima_core.streaming.states import FAULTS, SILENT, STATES, TRANSITIONS, Event, Mode, Reason, Refusal, State
from genima_core.types import JointState

from .chunks import CHUNK_S

STREAMING = [Mode.HOLDING, Mode.TRACKING, Mode.ENDING, Mode.STOPPING]
SAID = {
    Event.START: {Mode.HOLDING: [Mode.OFF]},
    Event.JOIN: {Mode.TRACKING: [Mode.HOLDING, Mode.TRACKING, Mode.ENDING]},
    Event.END: {Mode.ENDING: [Mode.TRACKING, Mode.ENDING]},
    Event.STOP: {Mode.STOPPING: [Mode.TRACKING, Mode.ENDING, Mode.STOPPING], Mode.FAULTING: [Mode.RELIEVING]},
    Event.RETIRE: {Mode.RETIRING: STREAMING, Mode.FAULTING: [Mode.RELIEVING]},
    Event.FAIL: {Mode.FAULTING: [*STREAMING, Mode.RELIEVING]},
    Event.EMERGENCY: {Mode.FAULTING: [*STREAMING, Mode.RETIRING, Mode.RELIEVING], Mode.FAULT: [Mode.OFF]},
    Event.RELIEVE: {Mode.RELIEVING: [Mode.FAULTING]},
    Event.REST: {
        Mode.HOLDING: [Mode.TRACKING, Mode.ENDING, Mode.STOPPING],
        Mode.OFF: [Mode.RETIRING],
        Mode.FAULT: [Mode.FAULTING, Mode.RELIEVING],
    },
    Event.ENABLE: {Mode.STOPPING: [Mode.RETIRING]},
    Event.PLACE: {Mode.OFF: [*STREAMING, Mode.RETIRING], Mode.FAULT: [Mode.FAULTING, Mode.RELIEVING]},
    Event.RESET: {Mode.OFF: [Mode.FAULT]},
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("mode", Mode)
def test_every_event_in_every_mode(mode, event):
    said = {before: after for after, before_all in SAID[event].items() for before in before_all}
    assert TRANSITIONS[event].get(mode, mode) is said.get(mode, mode)


@pytest.mark.parametrize("mode", Mode)
def test_what_must_hold_of_every_mode(mode):
    after = {event: TRANSITIONS[event].get(mode, mode) for event in Event}
    assert STATES[mode] in State
    if mode in FAULTS:  # only a reset leads out of a fault
        assert all(now in FAULTS for event, now in after.items() if event is not Event.RESET)
    assert after[Event.EMERGENCY] in FAULTS
    assert after[Event.RETIRE] not in (*STREAMING, Mode.RELIEVING)
    if mode in SILENT:  # nothing but a start makes commands
        assert all(now in SILENT for event, now in after.items() if event is not Event.START)
    if mode in (Mode.STOPPING, Mode.RETIRING, Mode.FAULTING):  # a stop is not taken back
        assert Mode.TRACKING not in after.values()


# ---- the streamer follows it


def reach(make_bench, sweep, mode: Mode):
    """A bench in this mode."""
    bench = make_bench(execution="async", watch_arm_status=False)
    if mode is Mode.OFF:
        bench.streamer.disable()
        bench.step()
        return bench
    bench.run(0.1)
    if mode is Mode.HOLDING:
        return bench
    assert bench.send(sweep(CHUNK_S)) is None
    bench.run(0.6)
    if mode is Mode.STOPPING:
        bench.send(Refusal(Reason.NAN, "Bad."))
    elif mode is Mode.RETIRING:
        bench.streamer.disable()
    elif mode in FAULTS:
        bench.blocked = True
        while bench.streamer._mode is not mode:
            bench.step()
    elif mode is Mode.ENDING:
        while bench.streamer._mode is not mode:
            bench.step()
    if bench.streamer._mode is Mode.TRACKING and mode is not Mode.TRACKING:
        bench.step()
    return bench


ACTIONS = {
    "enable": lambda bench: bench.streamer.enable(),
    "disable": lambda bench: bench.streamer.disable(),
    "emergency_stop": lambda bench: bench.streamer.emergency_stop(),
    "reset_fault": lambda bench: bench.streamer.reset_fault(),
    "bad chunk": lambda bench: bench.send(Refusal(Reason.NAN, "Bad.")),
    "bad target": lambda bench: bench.streamer.on_target(Refusal(Reason.NAN, "Bad."), bench.now_s),
    "commander": lambda bench: bench.streamer.on_commanders(["/other"]),
    "clock": lambda bench: bench.step(-3.0),
    "pause": lambda bench: bench.step(0.5),
    "jump": lambda bench: bench.streamer.on_joint_state(JointState(bench.q + 1.0, None, bench.now_s), bench.now_s),
    "silence": lambda bench: setattr(bench, "connected", False),
    "nothing": lambda bench: None,
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("mode", Mode)
def test_the_streamer_follows_the_table(make_bench, sweep, mode, action):
    bench = reach(make_bench, sweep, mode)
    assert bench.streamer._mode is mode
    allowed = {
        now: {TRANSITIONS[event].get(now, now) for event in Event} | {TRANSITIONS[Event.REST].get(now, now)}
        for now in Mode
    }
    ACTIONS[action](bench)
    for _ in range(250):
        before = bench.streamer._mode
        bench.step()
        after = bench.streamer._mode
        # One step may be two events, such as a stop that begins at rest.
        assert any(after in allowed[between] for between in allowed[before])
    assert bench.streamer._mode in (Mode.OFF, Mode.HOLDING, Mode.FAULT)
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0
    if action == "emergency_stop":
        assert bench.streamer._mode is Mode.FAULT
