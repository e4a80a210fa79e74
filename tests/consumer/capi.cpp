// SPDX-License-Identifier: Apache-2.0
// The C API from C++: what is C11 is C++20 too.
#include "capi.c"
