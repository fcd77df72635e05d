"""The faults, as data."""

import numpy as np

from genima_core.panda import GRIPPER_WIDTH_M
from genima_core.sim.margins import Margins
from genima_ros import interfaces

from . import spoiling
from .limits import (
    ARM_STATUS_TIMEOUT,
    AT_ONCE,
    DEVIATION,
    END_OF_CHUNK,
    HORIZON,
    JOINT_STATE_TIMEOUT,
    STREAMER,
    said,
)
from .strikes import (
    BY_ITSELF,
    ENABLE,
    RECOVER,
    RESET,
    RESET_AND_ENABLE,
    RESTART,
    RESUME,
    above_the_table,
    bad_chunk,
    called,
    camera_moved,
    camera_put_back,
    chunk_of,
    chunk_with,
    clock_set,
    continued,
    draws_nothing,
    killed,
    on_cameras,
    on_wire,
    paused,
    shaken,
)
from .trial import Fault, GoOn

SEED = 7
FRONT = interfaces.camera_image("front")
JOINT_STATES, TARGETS, CHUNK = interfaces.JOINT_STATES, interfaces.TARGETS, interfaces.ACTION_CHUNK
WAITS = ("streamer_state", "The chunk has ended and no new one has come|Waiting for a chunk")
CONTACT = ("streamer_state", "Going on would bring finger. and table to")

# ---- cameras, drawings and models: the policy moves the arm

PICTURES = (
    Fault("one camera lost", "policy", on_wire(FRONT, lambda: spoiling.lost), END_OF_CHUNK,
          ("diffusion", "no image from front"), BY_ITSELF),
    Fault("all cameras lost", "policy", on_cameras(lambda: spoiling.lost), END_OF_CHUNK,
          ("diffusion", "no image from wrist, front, right_shoulder, left_shoulder"), BY_ITSELF, quick=False),
    Fault("camera frozen: the same picture under new stamps", "policy",
          on_wire(FRONT, lambda: spoiling.frozen(new_stamps=True)), END_OF_CHUNK,
          ("diffusion", "camera front not used: frozen: "), BY_ITSELF),
    Fault("camera frozen: the same message again and again", "policy",
          on_wire(FRONT, lambda: spoiling.frozen(new_stamps=False)), END_OF_CHUNK,
          ("diffusion", "camera front not used: .*frozen: "), BY_ITSELF, quick=False),
    Fault("one camera 1 s late", "policy", on_wire(FRONT, lambda: spoiling.unchanged, late_s=1.0), END_OF_CHUNK,
          ("diffusion", r"the four images lie \d+ ms apart"), BY_ITSELF),
    Fault("all cameras 4 s late", "policy", on_cameras(lambda: spoiling.unchanged, late_s=4.0), END_OF_CHUNK,
          ("streamer", "action_chunk not used: The chunk's observation is"), BY_ITSELF, quick=False),
    Fault("camera of the wrong size", "policy", on_wire(FRONT, lambda: spoiling.resized(80, 60)), END_OF_CHUNK,
          ("diffusion", "camera front not used: image is 80x60; the checkpoint draws on 64x64"), BY_ITSELF),
    Fault("camera of the wrong encoding", "policy", on_wire(FRONT, lambda: spoiling.encoded("bayer_rggb8")),
          END_OF_CHUNK, ("diffusion", "camera front not used: image has encoding 'bayer_rggb8'"), BY_ITSELF,
          quick=False),
    Fault("one camera's clock 10 s ahead", "policy", on_wire(FRONT, lambda: spoiling.restamped(10.0)), END_OF_CHUNK,
          ("diffusion", r"the four images lie \d+ ms apart"), BY_ITSELF, quick=False),
    Fault("drawing is noise", "policy", on_wire(TARGETS, lambda: spoiling.noisy(80.0, np.random.default_rng(SEED))),
          END_OF_CHUNK, ("gate", "closed: .* view is noisy"), RESUME),
    Fault("drawing without spheres", "policy", draws_nothing, END_OF_CHUNK,
          ("gate", "closed: the base sphere cannot be located: it is drawn in 0 of 4 views"), RESUME),
    Fault("drawing mirrored", "policy", on_wire(TARGETS, lambda: spoiling.mirrored), END_OF_CHUNK,
          ("gate", "closed: "), RESUME, quick=False),
    Fault("drawing of the wrong size", "policy", on_wire(TARGETS, lambda: spoiling.resized(64, 64)), END_OF_CHUNK,
          ("gate", r"closed: the drawing cannot be checked: the drawing is \(4, 32, 32, 3\)"), RESUME, quick=False),
    Fault("drawings 4 s late", "policy", on_wire((TARGETS, interfaces.OBSERVATION), lambda: spoiling.unchanged, 4.0),
          END_OF_CHUNK, ("streamer", "action_chunk not used: The chunk's observation is"), BY_ITSELF, quick=False),
    Fault("diffusion slow by 3 s", "policy", paused("diffusion"), END_OF_CHUNK,
          WAITS, BY_ITSELF, continued("diffusion"),
          lasts_s=3.0),
    Fault("controller slow by 3 s", "policy", paused("controller"), END_OF_CHUNK,
          WAITS, BY_ITSELF, continued("controller"),
          lasts_s=3.0, quick=False),
    Fault("diffusion killed", "policy", killed("diffusion"), END_OF_CHUNK,
          ("up", "diffusion ended with signal SIGKILL; starting it again"),
          GoOn("goes on by itself: it is started again after 1 s")),
    Fault("controller killed", "policy", killed("controller"), END_OF_CHUNK,
          ("up", "controller ended with signal SIGKILL; starting it again"),
          GoOn("goes on by itself: it is started again after 1 s")),
    Fault("rig changed: a camera stands 3 cm from where it stood in training", "policy", camera_moved(0.03), None,
          ("diffusion", "another rig than the checkpoint was trained with"),
          GoOn("goes on, with a warning: put the camera back"), camera_put_back),
)

CLOCK = (
    Fault("clock jump: 10 s forward, in all nodes", "policy", clock_set(10), None,
          ("controller", r"the wall clock was set by \+"), BY_ITSELF),
    Fault("clock jump: 10 s back, in all nodes", "policy", clock_set(0), None,
          ("controller", "the wall clock was set by -"), BY_ITSELF),
)

# ---- joint states and arm: a script moves it

SILENT = ("streamer_state", "No usable joint state for ")
FAULT_OF_SILENCE = ("streamer_state", "fault: No usable joint state for more than "
                                      rf"{STREAMER.joint_state_fault_s:g} s.*")
ARM = (
    Fault("joint states lost", "script", on_wire(JOINT_STATES, lambda: spoiling.lost), JOINT_STATE_TIMEOUT,
          FAULT_OF_SILENCE, RESET),
    Fault("joint states lost for less than a second", "script", on_wire(JOINT_STATES, lambda: spoiling.lost),
          JOINT_STATE_TIMEOUT, SILENT, BY_ITSELF, quick=False),
    Fault("joint states repeated under their old stamp", "script",
          on_wire(JOINT_STATES, lambda: spoiling.frozen(new_stamps=False)), JOINT_STATE_TIMEOUT,
          ("streamer_state", "fault: .*(is not after the one before|is stamped .* ago)"), RESET),
    Fault("joint states 0.5 s late", "script", on_wire(JOINT_STATES, lambda: spoiling.unchanged, late_s=0.5),
          JOINT_STATE_TIMEOUT, ("streamer_state", "fault: .*is stamped .* ago"), RESET, quick=False),
    Fault("clock jump: the arm's is 5 s ahead", "script", on_wire(JOINT_STATES, lambda: spoiling.restamped(5.0)),
          JOINT_STATE_TIMEOUT, ("streamer_state", "fault: .*is stamped .* ahead"), RESET),
    Fault("clock jump: the arm's is 5 s behind", "script", on_wire(JOINT_STATES, lambda: spoiling.restamped(-5.0)),
          JOINT_STATE_TIMEOUT, ("streamer_state", "fault: .*is stamped .* ago"), RESET, quick=False),
    Fault("a joint is said to be at NaN", "script", on_wire(JOINT_STATES, lambda: spoiling.joint_at(2, np.nan)),
          JOINT_STATE_TIMEOUT, ("streamer_state", "fault: .*says nan rad"), RESET, quick=False),
    Fault("joint states of another arm's joints", "script",
          on_wire(JOINT_STATES, lambda: spoiling.renamed("panda", "fr3")), JOINT_STATE_TIMEOUT,
          ("streamer_state", "fault: .*lacks panda_joint1"), RESET, quick=False),
    Fault("joint states with too few positions", "script", on_wire(JOINT_STATES, lambda: spoiling.shortened),
          JOINT_STATE_TIMEOUT, ("streamer_state", "fault: .*names 9 joints but its positions have shape"), RESET,
          quick=False),
    Fault("a joint is said to be 0.5 rad beside its place", "script",
          on_wire(JOINT_STATES, lambda: spoiling.joint_beside(0, 0.5)), DEVIATION,
          ("streamer_state", "fault: .* is measured at .*the joint states jump"), RESET),
    Fault("an encoder sticks: old values under new stamps", "script",
          on_wire(JOINT_STATES, spoiling.stuck_values), DEVIATION,
          ("streamer_state", "fault: .* is measured at .*the joint states repeat the same numbers"), RESET),
    Fault("the arm gets no commands", "script", on_wire(interfaces.ARM_TRAJECTORY, lambda: spoiling.lost), DEVIATION,
          ("streamer_state", "fault: .* from its command"), RESET),
    Fault("arm in reflex", "script", called("sim", "reflex"), AT_ONCE,
          ("streamer_state", "fault: The arm reports reflex with cartesian_reflex"), RECOVER),
    Fault("arm guided by hand", "script", on_wire(interfaces.ARM_STATUS, lambda: spoiling.guided), AT_ONCE,
          ("streamer_state", "The arm is not to be moved: it is guided by hand; then enable"), ENABLE),
    Fault("status of the arm lost", "script", on_wire(interfaces.ARM_STATUS, lambda: spoiling.lost),
          ARM_STATUS_TIMEOUT, ("streamer_state", "No status of the arm for"), BY_ITSELF),
)

# ---- chunks, streamer and operator: a script moves the arm

CHUNKS = (
    Fault("chunk with NaN", "script", chunk_with(5, 2, np.nan), AT_ONCE,
          ("streamer_state", "Action 5 of the chunk has nan for panda_joint3"), BY_ITSELF),
    Fault("chunk outside of the arm's limits", "script", chunk_with(8, 3, 0.5), AT_ONCE,
          ("streamer_state", "wants panda_joint4 at 0.5000 rad, outside"), BY_ITSELF),
    Fault("chunk that begins 0.6 rad away", "script", chunk_of(lambda v: v + [0, 0.6, 0, 0, 0, 0, 0, 0]), AT_ONCE,
          ("streamer_state", "rad from the command then"), BY_ITSELF),
    Fault("chunk that is too fast", "script", chunk_of(shaken), AT_ONCE,
          ("streamer_state", "times the velocity limit"), BY_ITSELF, quick=False),
    Fault("chunk for another arm's joints", "script", bad_chunk(spoiling.renamed("panda", "fr3")), AT_ONCE,
          ("streamer_state", "The chunk lacks panda_joint1"), BY_ITSELF, quick=False),
    Fault("chunk with an impossible gripper width", "script", chunk_with(3, 7, 10 * GRIPPER_WIDTH_M), AT_ONCE,
          ("streamer_state", "gripper widths go from"), BY_ITSELF, quick=False),
    Fault("chunk of an observation 4 s old", "script", bad_chunk(spoiling.restamped(-4.0)), AT_ONCE,
          ("streamer_state", "The chunk's observation is 4.* s old"), BY_ITSELF, quick=False),
    Fault("chunk stamped 3 s ahead", "script", bad_chunk(spoiling.restamped(3.0)), AT_ONCE,
          ("streamer_state", "The chunk is stamped .* s from now"), BY_ITSELF, quick=False),
    Fault("empty chunk", "script", bad_chunk(lambda message: type(message)(joint_names=message.joint_names)), AT_ONCE,
          ("streamer_state", "a chunk needs at least two actions"), BY_ITSELF, quick=False),
    Fault("chunks into the table", "script", lambda cell: cell.dive(),
          said(CONTACT[0], f"stopping: {CONTACT[1]}", f"hand_clearance_m {Margins().hand_clearance_m:g}"), CONTACT,
          GoOn("goes on by itself with chunks that lead elsewhere"), check=above_the_table),
    Fault("streamer paused for 3 s", "script", paused("streamer"), HORIZON,
          ("streamer_state", "No step came for 3"), BY_ITSELF, continued("streamer"), lasts_s=3.0, said_after=True),
    Fault("emergency stop", "script", called("streamer", "emergency_stop"), AT_ONCE,
          ("streamer_state", "fault: The emergency stop was called"), RESET_AND_ENABLE),
    Fault("operator disables", "script", called("streamer", "enable", data=False), AT_ONCE,
          ("streamer_state", "The streamer is disabled"), ENABLE),
    Fault("streamer killed", "script", killed("streamer"), HORIZON,
          ("up", "node streamer ended with signal SIGKILL"), RESTART),
)

FAULTS = (*PICTURES, *CLOCK, *ARM, *CHUNKS)
