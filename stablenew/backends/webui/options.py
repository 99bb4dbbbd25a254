"""The options of a server that change its pictures, beside what requests say themselves.

Of some 300 that a server has, these: a change of any other one leaves its pictures as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stablenew.backends.webui.loaded import loaded_settings, own_encoders
from stablenew.backends.webui.server import MODULES, VAE, Server
from stablenew.config.pipeline_config import Setting

_SAVED = ("samples_format", "jpeg_quality", "webp_lossless")
"""How a picture is written: JPEG changes its pixels."""

_UPSCALING = (
    *("ESRGAN_tile", "ESRGAN_tile_overlap", "DAT_tile", "DAT_tile_overlap", "ldsr_steps"),
    *("SCUNET_tile", "SCUNET_tile_overlap", "SWIN_tile", "SWIN_tile_overlap"),
    *("face_restoration_model", "code_former_weight"),
)

_SAMPLING = (
    # the model, as it is loaded
    *("sd_unet", "sd_text_encoder", "sd_hypernetwork", "sd3_enable_t5", "fp8_storage"),
    *("cache_fp16_weight", "upcast_attn", "auto_vae_precision", "auto_vae_precision_bfloat16"),
    *("sd_vae_encode_method", "sd_vae_decode_method", MODULES, "forge_unet_storage_dtype"),
    *("sd_vae_overrides_per_model_preferences", "sdxl_clip_l_skip", "clip_skip"),
    # the prompt
    *("emphasis", "use_old_emphasis_implementation", "comma_padding_backtrack"),
    *("use_old_scheduling", "sd_lora", "extra_networks_default_multiplier", "lora_functional"),
    *("sdxl_crop_top", "sdxl_crop_left", "sdxl_refiner_low_aesthetic_score"),
    *("sdxl_refiner_high_aesthetic_score", "prompt_attention", "prompt_mean_norm"),
    # the noise
    *("randn_source", "eta_noise_seed_delta", "eta_ddim", "eta_ancestral", "s_churn", "s_tmin"),
    *("s_tmax", "s_noise", "initial_noise_multiplier", "img2img_extra_noise"),
    *("no_dpmpp_sde_batch_determinism", "enable_batch_seeds", "diffusers_generator_device"),
    # the sampler
    *("sigma_min", "sigma_max", "rho", "ddim_discretize", "uni_pc_variant", "uni_pc_skip_type"),
    *("uni_pc_order", "uni_pc_lower_order_final", "always_discard_next_to_last_sigma"),
    *("sgm_noise_multiplier", "sd_noise_schedule", "skip_early_cond", "beta_dist_alpha"),
    *("beta_dist_beta", "use_old_karras_scheduler_sigmas", "use_downcasted_alpha_bar"),
    *("enable_quantization", "s_min_uncond", "s_min_uncond_all", "auto_backcompat"),
    # the attention
    *("cross_attention_optimization", "pad_cond_uncond", "pad_cond_uncond_v0"),
    *("batch_cond_uncond", "token_merging_ratio", "token_merging_ratio_hr"),
    *("token_merging_ratio_img2img", "token_merging_method", "forge_try_reproduce"),
    # hires fix, the refiner, what comes after
    *("hires_fix_refiner_pass", "hires_fix_use_firstpass_conds", "refiner_switch_by_sample_steps"),
    *("use_old_hires_fix_width_height", "tiling", "face_restoration"),
)

_IMG2IMG = (
    *("img2img_color_correction", "img2img_fix_steps", "img2img_background_color"),
    *("upscaler_for_img2img", "inpainting_mask_weight", "overlay_inpaint"),
)

_FAMILIES = (
    *("schedulers_", "hypertile_", "freeu_", "pag_", "tome_", "todo_", "sdnq_", "layerwise_"),
    *("teacache_", "para_", "faster_cache_", "diffusers_", "cross_attention_", "sdp_"),
)
"""What such options of SD.Next, and of some extensions, begin with."""


def picture_options(server: Server) -> dict[str, dict[str, Setting]]:
    """Return the options that change the pictures of each stage."""
    sampling = (*_SAVED, *_SAMPLING, *_UPSCALING, *_others(server))
    groups = {
        "txt2img": sampling,
        "img2img": (*sampling, *_IMG2IMG),
        "adetailer": (*sampling, *_IMG2IMG),
        "upscale": (*sampling, *_IMG2IMG) if not server.extras else (*_SAVED, *_UPSCALING),
    }
    options = {**server.options, MODULES: own_encoders(server)}  # the VAE is a setting
    return {stage: _values(options, names) for stage, names in groups.items()}


def _others(server: Server) -> list[str]:
    families = [name for name in server.options if name.startswith(_FAMILIES)]
    # A VAE that is not in its list cannot be asked for, and is used all the same.
    unlisted = loaded_settings(server).get("vae", "") is None
    return [*families, *([VAE] if unlisted else [])]


def _values(options: Mapping[str, object], names: Iterable[str]) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for name in names:
        value = options.get(name)
        if isinstance(value, list) and value:
            found[name] = ", ".join(map(str, value))
        elif isinstance(value, str | int | float) and value != "":
            found[name] = value
    return found
