// SPDX-License-Identifier: Apache-2.0
#define TINY_LLM_KERNELS avx2_kernels
#define TINY_LLM_KERNELS_NAME "avx2+fma"
#include <tiny_llm/kernels_body.hpp>
