"""Machine images, and the SSM parameters that name them."""

from typing import Any

from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.responses.amis import AmisResponse
from moto.ssm.models import Parameter, ParameterDict

from tests.lab.api import images
from tests.lab.api.moto_patches.patch import replaces
from tests.lab.api.state import current_state


@replaces(AmiBackend, "_load_amis")
def load(original: Any, self: Any) -> None:
    """Load the lab's images.

    (moto has no Debian image, and a creation date in a custom list of images crashes it in the second region.)
    """
    for image in images.IMAGES:
        self.amis[image.id] = _made(self, image)


@replaces(AmisResponse, "describe_images")
def available(original: Any, self: Any) -> Any:
    """Leave out deprecated images unless they are asked for, and deregistered ones (moto has neither)."""
    answer = original(self)
    if self._get_param("ImageIds", []):
        return answer
    faults, deprecated_too = current_state().faults, self._get_param("IncludeDeprecated")
    answer.result["Images"] = [
        image
        for image in answer.result["Images"]
        if not faults.applies("deregistered", image.id)
        and (deprecated_too or not faults.applies("deprecated", image.id))
    ]
    return answer


def _made(backend: Any, image: images.Image) -> Any:
    made = Ami(
        backend,
        image.id,
        name=image.name,
        description=image.name,
        owner_id=image.owner,
        owner_alias="amazon" if image.owner == images.AMAZON else None,
        public=True,
        virtualization_type="hvm",
        architecture=image.architecture,
        state=image.state,
        creation_date=image.created,
        image_location=f"{image.owner}/{image.name}",
        hypervisor="xen",
        root_device_type="ebs",
        root_device_name=image.device,
        boot_mode="uefi-preferred",
    )
    made.gigabytes = image.gigabytes
    return made


_mappings = Ami.block_device_mappings.fget


def mappings(self: Any) -> Any:
    """Return a root disk of the image's own size (moto returns 15 GB for every image)."""
    original_mappings = _mappings(self)
    original_mappings[0]["Ebs"].update(VolumeSize=getattr(self, "gigabytes", 15), VolumeType="gp3")
    return original_mappings


Ami.block_device_mappings = property(mappings)


@replaces(ParameterDict, "_check_loading_status")
def check(original: Any, self: Any, key: str) -> None:
    """Add the parameters of the Debian and Deep Learning images (moto lacks them)."""
    original(self, key)
    if key in images.PARAMETERS and not dict.get(self, key):
        dict.__setitem__(self, key, [_parameter(self, key)])


def _parameter(parameters: Any, name: str) -> Any:
    return Parameter(
        account_id=parameters.account_id,
        name=name,
        value=images.PARAMETERS[name],
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=images.IMAGES[0].created,
        version=1,
        data_type="aws:ec2:image",
    )
