"""A LiveKit agent that begins to work while the user speaks.

pip install -e '.[livekit]'
LIVEKIT_URL=… LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… python docs/examples/stacks/livekit_agent.py dev
"""

from livekit.agents import AgentServer, AgentSession, JobContext, JobProcess, cli, function_tool, inference

from midsentence import load
from midsentence.integrations.livekit import MidsentenceAgent, tool_class

server = AgentServer()


@tool_class("read")
@function_tool
async def get_weather(city: str) -> str:
    """Tells the weather in a city."""
    return f"sunny in {city}"


def prewarm(process: JobProcess) -> None:
    """One model for all conversations of a process."""
    opened = load("smollm2", "midsentence/models/adapters/smollm2-midsentence", constrained=True)
    process.userdata["model"] = opened.__enter__()


server.setup_fnc = prewarm


@server.rtc_session()
async def converse(job: JobContext) -> None:
    session = AgentSession(
        stt=inference.STT("deepgram/nova-3"), tts=inference.TTS("cartesia/sonic-3"), vad=inference.VAD()
    )
    await session.start(MidsentenceAgent(job.proc.userdata["model"], [get_weather]), room=job.room)


if __name__ == "__main__":
    cli.run_app(server)
