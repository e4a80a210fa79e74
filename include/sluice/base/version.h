/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_BASE_VERSION_H
#define SLUICE_BASE_VERSION_H

/* The one place of the version: the build reads it from here. */
#define SLUICE_VERSION_MAJOR 0
#define SLUICE_VERSION_MINOR 1
#define SLUICE_VERSION_PATCH 0

#endif /* SLUICE_BASE_VERSION_H */
