"""What a frozen program needs besides the imports that PyInstaller sees.

Commands and public names are loaded by name; weights, the page of a report and the library of kernels are files.
"""

from PyInstaller.utils.hooks import collect_data_files
from PyInstaller.utils.hooks import collect_dynamic_libs
from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("aecodec", filter=lambda name: name != "aecodec.frozen")
datas = collect_data_files("aecodec")
binaries = collect_dynamic_libs("aecodec", search_patterns=["*.so", "*.dll"])
