# SPDX-License-Identifier: Apache-2.0
"""How vLLM finds tiers, written from its contract."""

import importlib
from typing import Any, Dict, Tuple


class SecondaryTierFactory:
    _registry: Dict[str, Tuple[str, str]] = {}

    @classmethod
    def register_tier(cls, tier_type: str, module_path: str, class_name: str) -> None:
        if tier_type in cls._registry:
            raise ValueError(f"{tier_type} is registered")
        cls._registry[tier_type] = (module_path, class_name)

    @classmethod
    def create_secondary_tier(cls, tier_config: dict, primary_kv_view: memoryview, spec: Any) -> Any:
        config = dict(tier_config)
        tier_type = config.pop("type")
        module_path = config.pop("module_path", None)
        detector = config.pop("backpressure", None)
        module, name = cls._registry.get(tier_type, (module_path, tier_type))
        return getattr(importlib.import_module(module), name)(
            offloading_spec=spec,
            primary_kv_view=primary_kv_view,
            tier_type=tier_type,
            backpressure_detector=detector,
            **config,
        )
