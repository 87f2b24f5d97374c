"""aecodec: a learned image codec.

    data = aecodec.encode(Image.open("in.jpg"), quality=40)
    image = aecodec.decode(data)

Names are loaded on first use, so `import aecodec` costs nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in typing, whose import would be a third of this one's time

__version__ = "1.0.0"

_HOMES = {
    "encode": "api",
    "decode": "api",
    "decode_pixels": "api",
    "decode_latent": "api",
    "aec_check": "imagecodecs",
    "aec_decode": "imagecodecs",
    "aec_encode": "imagecodecs",
    "aec_version": "imagecodecs",
    "DecodeOptions": "options",
    "EncodeOptions": "options",
    "register_aec_opener": "pillow_plugin",
    "read_info": "info",
    "decode_stages": "api",
    "pack": "forms",
    "unpack": "forms",
    "cut": "forms",
    "verify": "api",
    "Info": "info",
    "AecError": "errors",
    "InputError": "errors",
    "OutputError": "errors",
    "InvalidOption": "errors",
    "OutsidePicture": "errors",
    "MissingExtra": "errors",
    "LimitExceeded": "errors",
    "HeaderLimitExceeded": "errors",
    "CorruptFile": "errors",
    "UnreachableTarget": "errors",
    "UnsupportedVersion": "errors",
    "UnknownModel": "errors",
    "UnknownWeights": "errors",
}

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from aecodec.api import decode as decode
    from aecodec.api import decode_latent as decode_latent
    from aecodec.api import decode_pixels as decode_pixels
    from aecodec.api import decode_stages as decode_stages
    from aecodec.api import encode as encode
    from aecodec.api import verify as verify
    from aecodec.errors import AecError as AecError
    from aecodec.errors import CorruptFile as CorruptFile
    from aecodec.errors import HeaderLimitExceeded as HeaderLimitExceeded
    from aecodec.errors import InputError as InputError
    from aecodec.errors import InvalidOption as InvalidOption
    from aecodec.errors import LimitExceeded as LimitExceeded
    from aecodec.errors import MissingExtra as MissingExtra
    from aecodec.errors import OutputError as OutputError
    from aecodec.errors import OutsidePicture as OutsidePicture
    from aecodec.errors import UnknownModel as UnknownModel
    from aecodec.errors import UnknownWeights as UnknownWeights
    from aecodec.errors import UnreachableTarget as UnreachableTarget
    from aecodec.errors import UnsupportedVersion as UnsupportedVersion
    from aecodec.forms import cut as cut
    from aecodec.forms import pack as pack
    from aecodec.forms import unpack as unpack
    from aecodec.imagecodecs import aec_check as aec_check
    from aecodec.imagecodecs import aec_decode as aec_decode
    from aecodec.imagecodecs import aec_encode as aec_encode
    from aecodec.imagecodecs import aec_version as aec_version
    from aecodec.info import Info as Info
    from aecodec.info import read_info as read_info
    from aecodec.options import DecodeOptions as DecodeOptions
    from aecodec.options import EncodeOptions as EncodeOptions
    from aecodec.pillow_plugin import register_aec_opener as register_aec_opener

else:  # type checkers see only the names above

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'aecodec' has no attribute {name!r}")
        return getattr(import_module(f"aecodec.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
