"""A Pipecat bot that begins to work while the user speaks.

pip install -e '.[pipecat]' 'pipecat-ai[webrtc,runner,deepgram,cartesia]'
DEEPGRAM_API_KEY=… CARTESIA_API_KEY=… python docs/examples/stacks/pipecat_bot.py -t webrtc
"""

import os
from typing import Any

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.workers.runner import WorkerRunner

from midsentence import load
from midsentence.integrations.pipecat import MidsentenceProcessor, tool_class


@tool_class("read")
async def get_weather(params: FunctionCallParams, city: str) -> None:
    """Tells the weather in a city."""
    await params.result_callback(f"sunny in {city}")


def pipeline(model: Any, transport: Any, stt: Any, tts: Any, **session: Any) -> Pipeline:
    agent = MidsentenceProcessor(model, [get_weather], **session)
    hears = [transport.input(), VADProcessor(vad_analyzer=SileroVADAnalyzer()), stt, UserTurnProcessor()]
    return Pipeline([*hears, agent, tts, transport.output(), agent.heard])


async def bot(runner_args: Any) -> None:
    from pipecat.runner.utils import create_transport
    from pipecat.services.cartesia.tts import CartesiaTTSService
    from pipecat.services.deepgram.stt import DeepgramSTTService

    transport = await create_transport(
        runner_args, {"webrtc": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True)}
    )
    stt, tts = (
        DeepgramSTTService(api_key=os.environ["DEEPGRAM_API_KEY"]),
        CartesiaTTSService(api_key=os.environ["CARTESIA_API_KEY"]),
    )
    with load("smollm2", "midsentence/models/adapters/smollm2-midsentence", constrained=True) as model:
        runner = WorkerRunner()
        await runner.add_workers(PipelineWorker(pipeline(model, transport, stt, tts)))
        await runner.run()


if __name__ == "__main__":
    from pipecat.runner.run import main

    main()
