"""Agents: programs on servers that report to us; how they come in, what they are given to do, what they run."""

from servers.agents.models.agent import Agent
from servers.agents.models.claim import Challenge, Claim
from servers.agents.models.release import Release
from servers.agents.models.token import JoinToken
from servers.agents.models.work import Work, WorkOutput

__all__ = ["Agent", "Challenge", "Claim", "JoinToken", "Release", "Work", "WorkOutput"]
