"""Config files as they are on the hub, attribute for attribute, one or two of each family."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]


def _sizes(vocab: int, hidden: int, mlp: int, layers: int, heads: int, kv: int, positions: int) -> Config:
    return {
        "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": mlp, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv, "max_position_embeddings": positions,
    }  # fmt: skip


COMMON: Config = {
    "initializer_range": 0.02, "rms_norm_eps": 1e-05, "torch_dtype": "bfloat16", "use_cache": True,
    "transformers_version": "4.42.3",
}  # fmt: skip

SMOLLM2: Config = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576,
    "initializer_range": 0.041666666666666664, "intermediate_size": 1536, "is_llama_config": True,
    "max_position_embeddings": 8192, "mlp_bias": False, "model_type": "llama", "num_attention_heads": 9,
    "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None, "rope_theta": 100000,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
    "transformers_version": "4.42.3", "use_cache": True, "vocab_size": 49152,
}  # fmt: skip

# What transformers writes of the same model when it was read from a GGUF file.
SMOLLM2_DEQUANTISED: Config = {
    "_model_name_or_path": "SmolLM2-135M-Instruct", "architectures": ["LlamaForCausalLM"],
    "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1, "dtype": "float32",
    "eos_token_id": 2, "head_dim": 64, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.02,
    "intermediate_size": 1536, "max_position_embeddings": 8192, "mlp_bias": False, "model_type": "llama",
    "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2,
    "pretraining_tp": 1, "rms_norm_eps": 9.999999747378752e-06,
    "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"}, "tie_word_embeddings": True,
    "transformers_version": "5.24.0", "unk_token_id": 0, "use_cache": True, "vocab_size": 49152,
}  # fmt: skip

HUB: dict[str, Config] = {
    "SmolLM2": SMOLLM2,
    "SmolLM2, dequantised": SMOLLM2_DEQUANTISED,
    "LLaMA 1, early": {
        **COMMON, **_sizes(32000, 4096, 11008, 32, 32, 32, 2048), "architectures": ["LlamaForCausalLM"],
        "model_type": "llama", "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1,
        "pad_token_id": -1, "max_sequence_length": 2048, "tie_word_embeddings": False,
        "torch_dtype": "float16", "transformers_version": "4.27.0.dev0",
    },
    "Llama 3.2": {
        **COMMON, **_sizes(128256, 2048, 8192, 16, 32, 8, 131072), "architectures": ["LlamaForCausalLM"],
        "model_type": "llama", "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu", "mlp_bias": False,
        "pretraining_tp": 1, "rope_theta": 500000.0, "tie_word_embeddings": True,
        "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3",
        },
    },
    "Llama 3, trained by others": {
        **COMMON, **_sizes(128256, 4096, 14336, 32, 32, 8, 8192), "architectures": ["LlamaForCausalLM"],
        "_name_or_path": "unsloth/llama-3-8b", "model_type": "llama", "attention_bias": False,
        "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": 128001, "pad_token_id": 128255,
        "hidden_act": "silu", "mlp_bias": False, "pretraining_tp": 1, "rope_scaling": None,
        "rope_theta": 500000.0, "tie_word_embeddings": False, "unsloth_fixed": True,
        "unsloth_version": "2024.9", "tokenizer_class": "PreTrainedTokenizerFast",
        "gradient_checkpointing": False, "num_labels": 2, "temperature": 0.6, "top_p": 0.9,
        "_attn_implementation": "flash_attention_2", "attn_implementation": "flash_attention_2",
    },
    "linear scaling": {
        **COMMON, **_sizes(32256, 2048, 5504, 24, 16, 16, 16384), "architectures": ["LlamaForCausalLM"],
        "model_type": "llama", "bos_token_id": 32013, "eos_token_id": 32014, "hidden_act": "silu",
        "pretraining_tp": 1, "rope_scaling": {"factor": 4.0, "type": "linear"}, "rope_theta": 100000,
        "tie_word_embeddings": False,
    },
    "Mistral": {
        **COMMON, **_sizes(32000, 4096, 14336, 32, 32, 8, 32768), "architectures": ["MistralForCausalLM"],
        "model_type": "mistral", "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False,
    },
    "Mistral Nemo": {
        **COMMON, **_sizes(131072, 5120, 14336, 40, 32, 8, 1024000), "architectures": ["MistralForCausalLM"],
        "model_type": "mistral", "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
        "head_dim": 128, "hidden_act": "silu", "rope_theta": 1000000.0, "sliding_window": None,
        "tie_word_embeddings": False,
    },
    "Qwen2.5": {
        **COMMON, **_sizes(151936, 896, 4864, 24, 14, 2, 32768), "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2", "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645,
        "hidden_act": "silu", "max_window_layers": 21, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "sliding_window": 32768, "tie_word_embeddings": True, "use_sliding_window": False,
        "use_mrope": False,
    },
    "Qwen3": {
        **COMMON, **_sizes(151936, 1024, 3072, 28, 16, 8, 40960), "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3", "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "max_window_layers": 28,
        "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
        "tie_word_embeddings": True, "use_sliding_window": False,
    },
    "Qwen3 with YaRN": {
        **COMMON, **_sizes(151936, 1024, 3072, 28, 16, 8, 131072), "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3", "attention_bias": False, "head_dim": 128, "hidden_act": "silu",
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
        "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    "Gemma 2": {
        **COMMON, **_sizes(256000, 3584, 14336, 42, 16, 8, 8192), "architectures": ["Gemma2ForCausalLM"],
        "model_type": "gemma2", "attention_bias": False, "attention_dropout": 0.0,
        "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid",
        "eos_token_id": 1, "final_logit_softcapping": 30, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh", "pad_token_id": 0, "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096, "sliding_window_size": 4096,
    },
    "Gemma 3": {
        **COMMON, **_sizes(262144, 640, 2048, 6, 4, 1, 32768), "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text", "_sliding_window_pattern": 6, "attention_bias": False,
        "attention_dropout": 0.0, "attn_logit_softcapping": None, "bos_token_id": 2, "eos_token_id": 1,
        "final_logit_softcapping": None, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "layer_types": ["sliding_attention"] * 5 + ["full_attention"], "pad_token_id": 0,
        "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0,
        "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": 512,
        "use_bidirectional_attention": False,
    },
    "Phi-3": {
        **COMMON, **_sizes(32064, 3072, 8192, 32, 32, 32, 4096), "architectures": ["Phi3ForCausalLM"],
        "_name_or_path": "Phi-3-mini-4k-instruct", "model_type": "phi3", "attention_bias": False,
        "attention_dropout": 0.0, "bos_token_id": 1, "embd_pdrop": 0.0, "eos_token_id": 32000,
        "hidden_act": "silu", "original_max_position_embeddings": 4096, "pad_token_id": 32000,
        "resid_pdrop": 0.0, "rope_scaling": None, "rope_theta": 10000.0, "sliding_window": 2047,
        "tie_word_embeddings": False,
        "auto_map": {
            "AutoConfig": "configuration_phi3.Phi3Config",
            "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
        },
    },
    "Phi-4-mini": {
        **COMMON, **_sizes(200064, 3072, 8192, 32, 24, 8, 131072), "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3", "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 199999,
        "embd_pdrop": 0.0, "eos_token_id": 199999, "full_attn_mod": 1, "hidden_act": "silu",
        "interpolate_factor": 1, "lm_head_bias": False, "mlp_bias": False,
        "original_max_position_embeddings": 4096, "pad_token_id": 199999, "partial_rotary_factor": 0.75,
        "resid_pdrop": 0.0, "rope_theta": 10000.0, "sliding_window": 262144, "tie_word_embeddings": True,
        "rope_scaling": {"long_factor": [1.5] * 48, "short_factor": [1.0] * 48, "type": "longrope"},
        "auto_map": {
            "AutoConfig": "configuration_phi3.Phi3Config",
            "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
            "AutoTokenizer": "Xenova/gpt-4o",
        },
    },
}  # fmt: skip
"""By what they are; sizes and attributes of the original, long lists of layers shortened."""
