"""A process that decodes DICOM pixels with GDCM (inside SimpleITK) for `decoder`, and that may die of what it is given.

It is run as a file, so that it imports neither this package nor what lies in the working folder. A request is a line of
JSON on its standard input: a path, the size (columns, rows) that the header promises, and how much memory may be taken.
The answer is a line of JSON with the array's type, or an error, and then the array's bytes, columns fastest.
"""

import json
import os
import sys

LIBRARIES = 2 * 10**9
"""Address space, in bytes, that is reserved before the first pixel is decoded (threads' stacks, libraries)."""


def serve() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what GDCM prints is no answer
    for line in sys.stdin:
        request = json.loads(line)
        _limit_memory(request["bytes"])
        try:
            dtype, content = _decoded(request["path"], request["size"])
            answer = {"dtype": dtype}
        except (RuntimeError, MemoryError, ValueError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            answer, content = {"error": lines[-1] if lines else type(error).__name__}, b""
        answers.write(json.dumps(answer).encode() + b"\n" + content)
        answers.flush()


def _decoded(path: str, size: list[int]) -> tuple[str, bytes]:
    import SimpleITK as sitk  # noqa: N813 (its own documentation's name)

    image = sitk.ReadImage(path, imageIO="GDCMImageIO")
    decoded, channels = list(image.GetSize()), image.GetNumberOfComponentsPerPixel()
    if decoded[:2] != size or any(length != 1 for length in decoded[2:]) or channels != 1:
        raise ValueError(f"the header promises {size} gray pixels, the decoder finds {decoded} of {channels} numbers")
    array = sitk.GetArrayViewFromImage(image)
    return array.dtype.str, array.tobytes()


def _limit_memory(size: int) -> None:
    """Let the process run out of memory before the machine does, where the system knows such a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (min(LIBRARIES + size, sys.maxsize), resource.RLIM_INFINITY))


if __name__ == "__main__":
    serve()
