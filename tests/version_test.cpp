// SPDX-License-Identifier: Apache-2.0
#include <sluice/base/version.hpp>

#include <string>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("version: the library was built from these headers", "[version]") {
    const std::string expected = std::to_string(SLUICE_VERSION_MAJOR) + "." +
                                 std::to_string(SLUICE_VERSION_MINOR) + "." +
                                 std::to_string(SLUICE_VERSION_PATCH);
    CHECK(sluice::version() == expected);
}
