"""What taking in an update costs with the kept cache, beside reading the whole context again.

    python -m scripts.bench append [--model smollm2] [--repeats 3]

Prints one line of JSON: seconds at three lengths of context, in one run on one machine. Each figure is the fastest of
its repeats, since what else the machine does can only add; the two sides take turns, and the whole is read by the plain
model, without any cache to fill.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import torch

from midsentence.models.transformers import TransformersModel

CONTEXT_TOKENS = (256, 1024, 2048)
UPDATE_TOKENS = 10


def _seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(model: TransformersModel, contexts: Sequence[int], repeats: int) -> dict[str, float | int | str]:
    """Times at each length of context, and how many times longer reading it all again takes."""
    vocabulary = model.model.get_input_embeddings().num_embeddings
    report: dict[str, float | int | str] = {"update_tokens": UPDATE_TOKENS, "threads": torch.get_num_threads()}
    for length in contexts:
        ids = [(7919 * n + 13) % vocabulary for n in range(length + UPDATE_TOKENS)]
        stream = model.open(ids[:1])
        model.append([(stream, ids[1:length])])

        def kept(stream=stream, ids=ids, length=length) -> None:
            model.crop(stream, length)
            model.append([(stream, ids[length:])])

        whole = torch.tensor([ids], device=model.model.device)

        @torch.inference_mode()
        def again(whole=whole) -> None:
            model.model(input_ids=whole, use_cache=False, logits_to_keep=1)

        kept()
        times = [(_seconds(kept), _seconds(again)) for _ in range(repeats)]
        append_s, reread_s = (min(side) for side in zip(*times, strict=True))
        report[f"append_at_{length}_s"], report[f"reread_at_{length}_s"] = round(append_s, 5), round(reread_s, 5)
        report[f"ratio_at_{length}"] = round(reread_s / append_s, 1)
        model.close(stream)
    return report


def main(arguments: Sequence[str]) -> int:
    """Loads the model, measures, prints."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench append", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2", help="smollm2, tiny, a folder or a hub name")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contexts", type=int, nargs="+", default=CONTEXT_TOKENS, help="lengths of context, in tokens")
    options = parser.parse_args(arguments)
    longest = max(options.contexts) + UPDATE_TOKENS
    model = TransformersModel.load(options.model, dtype=torch.float32, max_tokens=longest)
    report = {"bench": "append", "model": options.model, "dtype": "float32", "device": str(model.model.device.type)}
    print(json.dumps(report | measure(model, options.contexts, options.repeats)))
    return 0
