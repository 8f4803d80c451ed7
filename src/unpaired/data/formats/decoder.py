"""Pixels of compressed DICOM, decoded in a process of its own: one that damaged data kill costs its file, no more."""

import atexit
import json
import math
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from unpaired.data.formats import decoder_process
from unpaired.data.image import ImageError

SECONDS = 60.0
"""A decoder that hasn't answered by then hangs: a slice takes milliseconds."""
MEMORY_PER_PIXEL = 64
"""Bytes that decoding a pixel may take, many times what any decoder needs."""


class Decoder:
    """A process that decodes file after file; a new one is started where there is none, or the last one died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._turn = threading.Lock()

    def decode(self, content: bytes, size: tuple[int, int], path: Path) -> np.ndarray:
        """The pixels (columns, rows) of a DICOM file's content, as they are stored; `path` is named in errors.

        Raises ImageError if they can't be decoded, aren't of the size that the header gives, or kill the decoder.
        """
        with self._turn, TemporaryDirectory() as folder:
            file = Path(folder, "pixels.dcm")
            file.write_bytes(content)
            dtype, decoded = self._ask(file, size, path)
        return np.frombuffer(decoded, dtype).reshape(size, order="F")

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _ask(self, file: Path, size: tuple[int, int], path: Path) -> tuple[np.dtype, bytes]:
        process = self._started()
        request = {"path": str(file), "size": size, "bytes": MEMORY_PER_PIXEL * math.prod(size)}
        impatience = threading.Timer(SECONDS, process.kill)
        impatience.start()
        try:
            assert process.stdin is not None  # both pipes were asked for
            assert process.stdout is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline() or "null")
            if answer is not None and "error" not in answer:
                dtype = np.dtype(answer["dtype"])
                content = process.stdout.read(math.prod(size) * dtype.itemsize)
                if len(content) == math.prod(size) * dtype.itemsize:
                    return dtype, content
                answer = None
        except (OSError, ValueError):  # a broken pipe, half an answer
            answer = None
        finally:
            impatience.cancel()
        if answer is None:
            self.close()
            what = f"its pixels killed the decoder, or kept it busy for {SECONDS:.0f} s"
        else:
            what = f"pixels can't be decoded ({answer['error']})"
        raise ImageError(f"{path}: {what}; export it again, uncompressed")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # a fork must not talk to its parent's process
            self._process, self._owner = None, os.getpid()
        if self._process is None or self._process.poll() is not None:
            self.close()
            command = [sys.executable, "-P", decoder_process.__file__]  # -P: nothing of this folder is imported
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        return self._process


DECODER = Decoder()
atexit.register(DECODER.close)
