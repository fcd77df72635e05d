"""`genima train autoencoder`, `diffusion` and `controller`."""

import tyro

from genima_core.training.config import ControllerTraining, DiffusionTraining, Training


def autoencoder(training: tyro.conf.OmitArgPrefixes[Training]) -> None:
    """Trains the drawing agent's autoencoder of images.

    Only for the preset demo; the others use that of their base model. Writes OUT/vae. A run that is in OUT continues
    where it stopped.

    Example: genima train autoencoder --data data/push_button --out runs/autoencoder --minutes 8
    """
    from genima_core.diffusion.train_autoencoder import train_autoencoder

    train_autoencoder(training)
    print(f"{training.out}/vae is trained")
    print(f"next: genima train diffusion --data {training.data} --autoencoder {training.out} --out runs/diffusion")


def diffusion(training: tyro.conf.OmitArgPrefixes[DiffusionTraining]) -> None:
    """Trains the agent that draws targets.

    Presets: demo, sd-turbo, sdxl-turbo, instruct-pix2pix. Writes OUT/agent. A run that is in OUT continues where it
    stopped. On several GPUs or machines: accelerate launch --module genima_ros.cli.main train diffusion ...

    Example: genima train diffusion --data data/push_button --autoencoder runs/autoencoder --out runs/diffusion
    """
    from genima_core.diffusion.train import train_diffusion

    train_diffusion(training)
    coder = f" --autoencoder {training.autoencoder}" if training.autoencoder else ""
    preset = "" if training.preset == "demo" else " --preset paper"  # whose views have the same size
    print(f"{training.out}/agent is trained")
    print(f"next: genima train controller --data {training.data}{coder}{preset} --out runs/controller")


def controller(training: tyro.conf.OmitArgPrefixes[ControllerTraining]) -> None:
    """Trains the controller that follows drawn targets.

    Presets: demo, paper, diffusion-policy. Writes OUT/controller. A run that is in OUT continues where it stopped.

    Example: genima train controller --data data/push_button --autoencoder runs/autoencoder --out runs/controller
    """
    from genima_core.controller.train import train_controller

    train_controller(training)
    print(f"{training.out}/controller is trained")
    models = f"--diffusion runs/diffusion --controller {training.out}"
    print(f"next: genima checkpoint --data {training.data} {models} --out checkpoints/mine")


VERBS = (autoencoder, diffusion, controller)
