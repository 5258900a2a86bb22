"""The shapes of OpenAI's endpoints over HTTP, as bytes and headers. Knows no socket.

Shapes: OpenAI's API reference, "Create chat completion", "Create completion", "Create embeddings", "Error codes"
and "Rate limits" (the x-ratelimit headers).
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import msgspec

from streamproc.simulation.engine import Answer, TextAnswers
from streamproc.simulation.rates import Budget

encode_json = msgspec.json.Encoder().encode

HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
"""What a proxy in front of a model may say instead of the model."""

_ERROR_TYPE = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


def encode_completion(answer: Answer, created: int) -> bytes:
    """Give the body of a success; `created` is in seconds since 1970."""
    return encode_json(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": created,
            "model": answer.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": answer.text},
                    "finish_reason": answer.finish_reason,
                }
            ],
            "usage": {
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
                "total_tokens": answer.prompt_tokens + answer.completion_tokens,
            },
        }
    )


def encode_texts(answers: TextAnswers, created: int) -> bytes:
    """Give the body of a success about texts; `created` is in seconds since 1970."""
    question = answers.question
    usage = {
        "prompt_tokens": answers.prompt_tokens,
        "total_tokens": answers.prompt_tokens + answers.completion_tokens,
    }
    if question.kind == "embeddings":
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _packed(answer.embedding or []) if question.packed else answer.embedding,
            }
            for index, answer in enumerate(answers.answers)
        ]
        return encode_json({"object": "list", "data": data, "model": question.model, "usage": usage})
    choices = [
        {"index": index, "text": answer.text, "logprobs": None, "finish_reason": answer.finish_reason}
        for index, answer in enumerate(answers.answers)
    ]
    return encode_json(
        {
            "id": f"cmpl-{question.questions[0].fingerprint}",
            "object": "text_completion",
            "created": created,
            "model": question.model,
            "choices": choices,
            "usage": {**usage, "completion_tokens": answers.completion_tokens},
        }
    )


def _packed(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def encode_error(status: int, message: str, code: str) -> bytes:
    """Give the body of an error of `status`."""
    error: dict[str, Any] = {
        "message": message,
        "type": _ERROR_TYPE.get(status, "server_error"),
        "code": code,
    }
    return encode_json({"error": error})


def encode_models(name: str) -> bytes:
    """Give the body of a list of one model."""
    model = {"id": name, "object": "model", "created": 0, "owned_by": "streamproc"}
    return encode_json({"object": "list", "data": [model]})


def retry_after_header(seconds: float | None) -> dict[str, str]:
    """Give Retry-After in whole seconds, rounded up, at least 1; nothing for `None`."""
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


def budget_headers(budget: Budget, now: float) -> dict[str, str]:
    """Give limit, rest and time to a full budget, for requests and for tokens; nothing where unlimited."""
    headers = {}
    for unit, bucket in (("requests", budget.requests), ("tokens", budget.tokens)):
        if bucket is not None:
            headers[f"x-ratelimit-limit-{unit}"] = f"{bucket.per_minute:.0f}"
            headers[f"x-ratelimit-remaining-{unit}"] = str(math.floor(bucket.remaining(now)))
            headers[f"x-ratelimit-reset-{unit}"] = f"{bucket.seconds_until(bucket.capacity, now):.3f}s"
    return headers
