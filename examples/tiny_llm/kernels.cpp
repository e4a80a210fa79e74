// SPDX-License-Identifier: Apache-2.0
#include <tiny_llm/kernels.hpp>

namespace tiny_llm {

#ifdef TINY_LLM_AVX2
const kernel_set& avx2_kernels() noexcept;

const kernel_set& best_kernels() noexcept {
    static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx2 ? avx2_kernels() : portable_kernels();
}
#else
const kernel_set& best_kernels() noexcept { return portable_kernels(); }
#endif

}  // namespace tiny_llm
