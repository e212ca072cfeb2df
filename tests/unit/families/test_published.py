"""Parameters of published models by formula; the figures are those of the stock classes at these sizes."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoConfig

from tailored_llama import families


@pytest.mark.parametrize(
    ("family", "vocabulary", "hidden", "layers", "heads", "kv_heads", "mlp", "own", "parameters"),
    [
        ("llama", 32000, 4096, 32, 32, 32, 11008, {}, 6_738_415_616),
        ("llama", 128256, 4096, 32, 32, 8, 14336, {}, 8_030_261_248),
        ("llama", 32000, 2048, 22, 32, 4, 5632, {}, 1_100_048_384),
        ("llama", 49152, 576, 30, 9, 3, 1536, {"tie_word_embeddings": True}, 134_515_008),
        ("mistral", 32000, 4096, 32, 32, 8, 14336, {}, 7_241_732_096),
        ("qwen2", 151936, 896, 24, 14, 2, 4864, {"tie_word_embeddings": True}, 494_032_768),
        ("qwen3", 151936, 1024, 28, 16, 8, 3072, {"head_dim": 128, "tie_word_embeddings": True}, 596_049_920),
        ("phi3", 32064, 3072, 32, 32, 32, 8192, {"sliding_window": 2047}, 3_821_079_552),
        ("gemma2", 256000, 2304, 26, 8, 4, 9216, {"head_dim": 256}, 2_614_341_888),
        ("gemma3_text", 262144, 1152, 26, 4, 1, 6912, {"head_dim": 256}, 999_885_952),
        ("smollm3", 128256, 2048, 36, 16, 4, 11008, {"tie_word_embeddings": True}, 3_075_098_624),
        ("granite", 49155, 2048, 40, 32, 8, 8192, {"tie_word_embeddings": True}, 2_533_531_648),
        ("olmo2", 100352, 2048, 16, 16, 16, 8192, {}, 1_484_916_736),
        ("olmo3", 100278, 4096, 32, 32, 32, 11008, {}, 7_298_011_136),
        ("arcee", 128004, 2560, 36, 20, 4, 18432, {"head_dim": 128}, 4_619_184_640),
        ("seed_oss", 155136, 5120, 64, 80, 8, 27648, {"head_dim": 128}, 36_151_104_512),
        (
            "hunyuan_v1_dense",
            120818,
            2048,
            32,
            16,
            4,
            6144,
            {"head_dim": 128, "tie_word_embeddings": True},
            1_791_080_448,
        ),
        (
            "ernie4_5",
            103424,
            1024,
            18,
            16,
            2,
            3072,
            {"head_dim": 128, "tie_word_embeddings": True},
            360_748_032,
        ),
        ("ministral", 131072, 4096, 36, 32, 8, 12288, {"head_dim": 128}, 8_019_808_256),
        (
            "ministral3",
            131072,
            3072,
            26,
            32,
            8,
            9216,
            {"head_dim": 128, "tie_word_embeddings": True},
            3_429_006_336,
        ),
        (
            "exaone4",
            102400,
            2048,
            30,
            32,
            8,
            4096,
            {"head_dim": 64, "tie_word_embeddings": True},
            1_279_391_488,
        ),
        ("glm", 151552, 4096, 40, 32, 2, 13696, {"head_dim": 128}, 9_399_951_360),
        ("glm4", 151552, 4096, 40, 32, 2, 13696, {"head_dim": 128}, 9_400_279_040),
        ("helium", 48000, 2560, 24, 20, 20, 7040, {}, 2_172_643_840),
        ("cohere2", 256000, 4096, 32, 32, 8, 14336, {}, 8_028_033_024),
        ("nemotron", 256000, 3072, 32, 24, 8, 9216, {"head_dim": 128}, 4_190_509_056),
        ("starcoder2", 49152, 3072, 30, 24, 2, 12288, {"bos_token_id": 0, "eos_token_id": 0}, 3_030_371_328),
        ("gemma", 256000, 2048, 18, 8, 1, 16384, {"head_dim": 256}, 2_506_172_416),
    ],
    ids=[
        "LLaMA 1 and 2 7B, Vicuna 7B",
        "Llama 3 8B",
        "TinyLlama 1.1B",
        "SmolLM 135M",
        "Mistral 7B",
        "Qwen2.5 0.5B",
        "Qwen3 0.6B",
        "Phi-3 mini",
        "Gemma 2 2B",
        "Gemma 3 1B",
        "SmolLM3 3B",
        "Granite 3.1 2B",
        "OLMo 2 1B",
        "Olmo 3 7B",
        "AFM 4.5B",
        "Seed-OSS 36B",
        "Hunyuan 1.8B",
        "ERNIE 4.5 0.3B",
        "Ministral 8B",
        "Ministral 3 3B",
        "EXAONE 4.0 1.2B",
        "GLM-4 9B",
        "GLM-4 9B 0414",
        "Helium 1 2B",
        "Command R7B",
        "Minitron 4B",
        "StarCoder2 3B",
        "Gemma 2B",
    ],
)
def test_published_sizes(
    family: str, vocabulary: int, hidden: int, layers: int, heads: int, kv_heads: int, mlp: int,
    own: dict[str, Any], parameters: int,
) -> None:  # fmt: skip
    config = AutoConfig.for_model(
        family, vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, intermediate_size=mlp, **own,
    )  # fmt: skip
    assert families.check_config(config).name == family
    assert families.parameter_count(config) == parameters
