// SPDX-License-Identifier: Apache-2.0
#define TINY_LLM_KERNELS portable_kernels
#define TINY_LLM_KERNELS_NAME "portable"
#include <tiny_llm/kernels_body.hpp>
