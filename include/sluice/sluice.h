/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 *  Sluice's C API: see \ref c. */
/**
 * @defgroup c C API
 *
 * This header is the contract; it compiles as C11 and as C++.
 *
 * A pipeline loads cached KV blocks, L3 (remote) to L2 (pinned host memory) to L1 (the memory that
 * compute reads), in the order of a policy, and tells by events what is in place. An engine needs
 * these: sluice_pipeline_open, sluice_submit, sluice_event_fd, sluice_poll, sluice_bind (if it owns
 * L1), sluice_compute_done, sluice_release, sluice_cancel, sluice_pipeline_close. Two ways:
 *
 *  - The engine drives: SLUICE_EVENT_READY says that the first blocks of a request are in L1; the
 *    engine computes the rest when it likes (sluice_sort, sluice_next_ready say in which order) and
 *    calls sluice_compute_done.
 *  - The library drives: `compute` of the options is called for each request when its blocks are in
 *    L1; SLUICE_EVENT_COMPUTED says that its first token is there.
 *
 * What holds for every function, unless its comment says otherwise:
 *  - Any thread may call it, at any time, several at once. None blocks but those whose name ends in
 *    _wait, _open, _create or _close.
 *  - It returns SLUICE_OK or a negative code; sluice_last_error() has the text. Results come by
 *    out-parameters, which are set to 0 or NULL on failure and must not be NULL.
 *  - Handles are numbers in a pointer's clothes: never dereferenced, never used twice. A closed,
 *    foreign or NULL handle gives SLUICE_E_NOT_FOUND; so does, in the child, every handle
 *    after fork.
 *  - Strings and arrays that go in are borrowed for the call. Where memory is kept, it is said.
 *  - Structs that begin with struct_size grow at the end only. Set it with the _INIT macro. A zero
 *    in a member is the default. A shorter struct than this library's has zeros in the rest; a
 *    longer one is read if what this library does not know is zero, else SLUICE_E_UNSUPPORTED.
 *    Structs without it never change.
 *  - Callbacks run on threads of the library's, as said there, never inside the call that they are
 *    given to. They must not throw, nor close a handle (SLUICE_E_FAILED_PRECONDITION).
 *  - Times are nanoseconds of CLOCK_MONOTONIC, or of the clock that the loop was made with.
 * @{
 */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include <stdint.h>

#include <sluice/base/version.h>

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

#ifdef __cplusplus
#define SLUICE_NOEXCEPT noexcept
extern "C" {
#else
#define SLUICE_NOEXCEPT
#endif

/** @defgroup c_codes Codes and texts
 *  @{ */

/** What a call returns. Values are never used again; new ones are appended. */
typedef int32_t sluice_status;
#define SLUICE_OK 0                       /**< it is done, or begun */
#define SLUICE_PENDING 1                  /**< from a callback: it ends by sluice_complete */
#define SLUICE_E_INVALID_ARGUMENT (-1)    /**< what was passed contradicts the contract */
#define SLUICE_E_NOT_FOUND (-2)           /**< no such handle, request, block or name */
#define SLUICE_E_FAILED_PRECONDITION (-3) /**< not now: too early, too late, in use, closing */
#define SLUICE_E_OUT_OF_RANGE (-4)        /**< it can never fit */
#define SLUICE_E_RESOURCE_EXHAUSTED (-5)  /**< a limit or the memory is used up; less may work */
#define SLUICE_E_UNSUPPORTED (-6)         /**< not in this build, or newer than this library */
#define SLUICE_E_CANCELLED (-7)           /**< somebody asked for it */
#define SLUICE_E_DEADLINE_EXCEEDED (-8)   /**< a timeout passed */
#define SLUICE_E_UNAVAILABLE (-9)         /**< a peer failed; later may work */
#define SLUICE_E_DATA_LOSS (-10)          /**< a block came damaged */
#define SLUICE_E_ALREADY_EXISTS (-11)     /**< it is there already */
#define SLUICE_E_PERMISSION_DENIED (-12)  /**< a file or a peer refuses */
#define SLUICE_E_INTERNAL (-13)           /**< a defect of the library's, or of a callback */
#define SLUICE_E_TRUNCATED (-14) /**< the buffer is too small; *needed says what it takes */

/** The code's name, "SLUICE_E_NOT_FOUND"; "SLUICE_E_?" for what is not a code. Static. */
SLUICE_API const char* sluice_status_name(sluice_status status) SLUICE_NOEXCEPT;

/**
 * What went wrong in this thread's last call that failed: what, where, and what to do. Never NULL.
 * Valid until the thread's next call that fails.
 */
SLUICE_API const char* sluice_last_error(void) SLUICE_NOEXCEPT;

/** The library's SLUICE_API_VERSION. Same major: what you built against works. (0: same minor.) */
SLUICE_API uint32_t sluice_api_version(void) SLUICE_NOEXCEPT;
#define SLUICE_API_VERSION ((uint32_t)((SLUICE_VERSION_MAJOR << 16) | SLUICE_VERSION_MINOR))

/** The library's release, "0.1.0". Static. */
SLUICE_API const char* sluice_version(void) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_handles Handles and operations
 *  @{ */

typedef struct sluice_loop sluice_loop;         /**< see \ref c_loop */
typedef struct sluice_device sluice_device;     /**< see \ref c_device */
typedef struct sluice_store sluice_store;       /**< see \ref c_store */
typedef struct sluice_pipeline sluice_pipeline; /**< see \ref c_pipeline and \ref c_split */

/** A submitted request of one pipeline; holds an epoch, so a stale one is recognised. 0: none. */
typedef uint64_t sluice_request_id;

/** A live application of one pipeline, with an epoch as well: \ref c_apps. 0: none. */
typedef uint64_t sluice_app_id;

/** An operation that a callback of yours carries out. 0: none. */
typedef uint64_t sluice_op;

/**
 * Ends an operation that a driver was given, or a computation that returned SLUICE_PENDING. The
 * memory that it named must not be touched any more. Any thread, also inside the callback.
 * @param status  SLUICE_OK or an error; another number counts as SLUICE_E_INTERNAL.
 * @return SLUICE_OK; SLUICE_E_NOT_FOUND: there is no such operation, or it has ended.
 */
SLUICE_API sluice_status sluice_complete(sluice_op op, sluice_status status) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_stages Stages, the numbers that callbacks are told
 *  @{ */

#define SLUICE_STAGE_LOOKUP 0u   /**< which blocks are where */
#define SLUICE_STAGE_FETCH 1u    /**< L3 to L2 */
#define SLUICE_STAGE_COPY 2u     /**< L2 to L1 */
#define SLUICE_STAGE_COMPUTE 3u  /**< prefill of what was not loaded */
#define SLUICE_STAGE_COPY_OUT 4u /**< L1 to L2 */
#define SLUICE_STAGE_PUT 5u      /**< L2 to L3 */

/** @} */

/** @defgroup c_loop Loop: for engines that want no threads, and for virtual time
 *  @{ */

/** A clock of yours, for a loop. */
typedef struct sluice_clock {
    uint32_t struct_size;
    uint32_t flags; /**< must be 0 */
    void* user;
    /** Nanoseconds, never decreasing. Called by sluice_loop_run on its caller's thread. NULL:
       CLOCK_MONOTONIC. */
    uint64_t (*now)(void* user);
} sluice_clock;
#define SLUICE_CLOCK_INIT \
    { (uint32_t)sizeof(sluice_clock), 0, 0, 0 }

/**
 * Makes a loop that has no thread: what is made with it progresses in sluice_loop_run only, and
 * deterministically if everything is. Give it to the store, the device and the pipeline.
 * @param clock  may be NULL; copied.
 * @return SLUICE_OK; SLUICE_E_INVALID_ARGUMENT; SLUICE_E_UNSUPPORTED (see structs, \ref c).
 */
SLUICE_API sluice_status sluice_loop_create(const sluice_clock* clock,
                                            sluice_loop** out) SLUICE_NOEXCEPT;

/**
 * Does all that is due, and returns. Policy, cost model and drivers of yours are called here.
 * @param next_ns  may be NULL; when to call again although nothing else happens; UINT64_MAX: never.
 *                 Operations that other threads end, or a file descriptor, also need a call.
 * @return SLUICE_OK; SLUICE_E_FAILED_PRECONDITION: it is running, on this thread or another.
 */
SLUICE_API sluice_status sluice_loop_run(sluice_loop* loop, uint64_t* next_ns) SLUICE_NOEXCEPT;

/** Ends it; NULL is no error.
    @return SLUICE_E_FAILED_PRECONDITION: what was made with it is not closed yet. */
SLUICE_API sluice_status sluice_loop_close(sluice_loop* loop) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_layout Layout of L1
 *  @{ */

/** Slot i of a region is `bytes` bytes at base + stride * i. */
typedef struct sluice_region {
    uint64_t base;   /**< address on the device */
    uint64_t stride; /**< at least bytes */
    uint64_t bytes;  /**< at least 1 */
    uint32_t slots;  /**< at least 1 */
    int32_t layer;   /**< whose KV it holds; -1: all layers */
} sluice_region;

#define SLUICE_HIT_ALL_BLOCKS 0u /**< full attention: every block of the prefix must be there */
#define SLUICE_HIT_LAST_N 1u     /**< sliding window, recurrent state: the prefix's last last_n */

/** One cache group: all KV that is paged by the same slot numbers. In L2 and L3 a block of a group
   is contiguous: its pieces in the order of the regions. */
typedef struct sluice_group {
    const sluice_region* regions;
    uint32_t n_regions;
    uint32_t hit_rule;
    uint32_t last_n;
    uint32_t reserved; /**< must be 0 */
} sluice_group;

#define SLUICE_NO_PAGE UINT32_MAX /**< a hole in a list of pages: nothing is loaded there */

/** @} */

/** @defgroup c_device Device: the way between L2 and L1
 *  @{ */

/** Options of sluice_device_open_host(). */
typedef struct sluice_host_device_options {
    uint32_t struct_size;
    uint32_t flags;          /**< must be 0 */
    sluice_loop* loop;       /**< NULL: a thread of its own */
    double bytes_per_second; /**< as of a bus, at least 1; 0: as fast as memory is */
} sluice_host_device_options;
#define SLUICE_HOST_DEVICE_OPTIONS_INIT \
    { (uint32_t)sizeof(sluice_host_device_options), 0, 0, 0 }

/** A device whose L1 is host memory. `options` may be NULL. */
SLUICE_API sluice_status sluice_device_open_host(const sluice_host_device_options* options,
                                                 sluice_device** out) SLUICE_NOEXCEPT;

/** One block between its contiguous form in L2 and its pieces in L1. */
typedef struct sluice_copy {
    sluice_op op;
    void* host;                /**< the group's block bytes, pinned */
    const sluice_group* group; /**< of those that register_layout was given */
    uint32_t slot;
    uint32_t reserved;
} sluice_copy;

/** A device of yours. Its functions are called on threads of the library's, several at once; those
   that return nothing must not block. Each copy ends by one sluice_complete. */
typedef struct sluice_device_driver {
    uint32_t struct_size;
    uint32_t flags; /**< must be 0 */
    void* user;
    /** Page-locked host memory, page aligned. NULL, with free_pinned NULL too: ordinary memory. */
    sluice_status (*allocate_pinned)(void* user, uint64_t bytes, void** out);
    void (*free_pinned)(void* user, void* memory, uint64_t bytes);
    /** Checks that the regions can be reached. `groups` are valid until the device is closed. */
    sluice_status (*register_layout)(void* user, const sluice_group* groups, uint32_t n_groups);
    void (*copy_in)(void* user, const sluice_copy* copies, uint32_t n);  /**< L2 to L1; required */
    void (*copy_out)(void* user, const sluice_copy* copies, uint32_t n); /**< L1 to L2; required */
} sluice_device_driver;
#define SLUICE_DEVICE_DRIVER_INIT \
    { (uint32_t)sizeof(sluice_device_driver), 0, 0, 0, 0, 0, 0, 0 }

/** A device of yours. The struct is copied; `user` is used until the device is closed. */
SLUICE_API sluice_status sluice_device_open(const sluice_device_driver* driver,
                                            sluice_device** out) SLUICE_NOEXCEPT;

/** Ends it; NULL is no error.
    @return SLUICE_E_FAILED_PRECONDITION: a pipeline uses it. */
SLUICE_API sluice_status sluice_device_close(sluice_device* device) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_store Store: L3
 *  @{ */

/** Options of sluice_store_open_memory(). */
typedef struct sluice_memory_store_options {
    uint32_t struct_size;
    uint32_t flags;          /**< SLUICE_STORE_* */
    sluice_loop* loop;       /**< NULL: a thread of its own */
    uint64_t capacity;       /**< bytes of blocks; 0: 1 GiB */
    double bytes_per_second; /**< of its link, at least 1; 0: as fast as memory is */
    uint64_t latency_ns;     /**< of each operation, up to a day */
} sluice_memory_store_options;
#define SLUICE_MEMORY_STORE_OPTIONS_INIT \
    { (uint32_t)sizeof(sluice_memory_store_options), 0, 0, 0, 0, 0 }
#define SLUICE_STORE_EVICT 1u        /**< when full, the least recently used blocks go */
#define SLUICE_STORE_NO_CHECKSUMS 2u /**< blocks are not verified after they have landed */

/** A store in this process, for tests and for engines that share one. `options` may be NULL. */
SLUICE_API sluice_status sluice_store_open_memory(const sluice_memory_store_options* options,
                                                  sluice_store** out) SLUICE_NOEXCEPT;

/** Options of sluice_store_open_fabric(). */
typedef struct sluice_fabric_store_options {
    uint32_t struct_size;
    uint32_t flags;           /**< SLUICE_STORE_NO_CHECKSUMS */
    const char* nodes;        /**< "tcp://host:port,tcp://host:port,...": memory nodes; required */
    const char* secret_file;  /**< what clients and nodes share, at least 16 bytes */
    const char* secret;       /**< or the secret itself */
    const char* provider;     /**< of libfabric; NULL: "tcp" */
    uint32_t replicas;        /**< nodes that each block is put to; 0: 1 */
    uint32_t connections;     /**< for data, per node; 0: 1 */
    uint64_t soft_timeout_ns; /**< of one transfer; 0: the larger of 250 ms and 4 x predicted */
    double bytes_per_second;  /**< which it keeps to, at least 1; 0: as fast as it is */
} sluice_fabric_store_options;
#define SLUICE_FABRIC_STORE_OPTIONS_INIT \
    { (uint32_t)sizeof(sluice_fabric_store_options), 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * A store on memory nodes (`sluice node`), by libfabric. Returns before they are connected to.
 * @return SLUICE_OK; SLUICE_E_INVALID_ARGUMENT; SLUICE_E_NOT_FOUND, SLUICE_E_PERMISSION_DENIED:
 *         the secret's file; SLUICE_E_UNSUPPORTED: no such provider here, or built without fabric.
 */
SLUICE_API sluice_status sluice_store_open_fabric(const sluice_fabric_store_options* options,
                                                  sluice_store** out) SLUICE_NOEXCEPT;

/** One block of a store of yours. */
typedef struct sluice_transfer {
    sluice_op op;
    const void* key;
    uint32_t key_size; /**< 1 to 32 */
    uint32_t reserved;
    void* memory; /**< get: to here; put: from here. Valid until the operation has ended */
    /** Exactly the block's; a get of another size ends SLUICE_E_INVALID_ARGUMENT. */
    uint64_t bytes;
} sluice_transfer;

/** Keys to look up or to remove; each of n keys is key_size bytes at keys + i * SLUICE_KEY_STRIDE.
   Valid until the operation has ended. */
typedef struct sluice_keys {
    sluice_op op;
    const void* keys;
    const uint8_t* sizes; /**< of each key, 1 to 32 */
    uint8_t* present;     /**< lookup: 1 or 0 for each key, written before sluice_complete */
    uint32_t n;
    uint32_t reserved;
} sluice_keys;
#define SLUICE_KEY_STRIDE 32u

/** A store of yours. Called on threads of the library's, several at once; nothing may block. Each
   operation ends by one sluice_complete: gets SLUICE_OK, SLUICE_E_NOT_FOUND (a miss),
   SLUICE_E_DATA_LOSS, SLUICE_E_UNAVAILABLE or SLUICE_E_DEADLINE_EXCEEDED; puts SLUICE_OK (also if
   it was there already) or SLUICE_E_RESOURCE_EXHAUSTED. A block is visible when its put has ended;
   blocks never change. */
typedef struct sluice_store_driver {
    uint32_t struct_size;
    uint32_t flags; /**< must be 0 */
    void* user;
    /** Memory that gets write and puts read. Both NULL: nothing to do. */
    sluice_status (*register_memory)(void* user, void* memory, uint64_t bytes);
    void (*unregister_memory)(void* user, void* memory, uint64_t bytes);
    void (*lookup)(void* user, const sluice_keys* lookup);                 /**< required */
    void (*get)(void* user, const sluice_transfer* transfers, uint32_t n); /**< required */
    void (*put)(void* user, const sluice_transfer* transfers, uint32_t n); /**< NULL: read-only */
    void (*remove)(void* user, const sluice_keys* keys); /**< NULL: not possible */
    /** The operation is overdue: end it soon, whatever that costs. NULL: not possible; then a get
       that never ends keeps its memory for ever, and closing waits for it. */
    void (*abort)(void* user, sluice_op op);
} sluice_store_driver;
#define SLUICE_STORE_DRIVER_INIT \
    { (uint32_t)sizeof(sluice_store_driver), 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** A store of yours. The struct is copied; `user` is used until the store is closed. */
SLUICE_API sluice_status sluice_store_open(const sluice_store_driver* driver,
                                           sluice_store** out) SLUICE_NOEXCEPT;

/**
 * Ends it, batches too, and waits for them; NULL is no error.
 * @return SLUICE_E_FAILED_PRECONDITION: a pipeline uses it.
 */
SLUICE_API sluice_status sluice_store_close(sluice_store* store) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_batches Batches: blocks between a store and memory of yours, without a pipeline
 *  @{ */

/**
 * Makes memory known that batches name; until it is unregistered, or the store closed, it must not
 * be freed. Not needed for a memory store; for others it is made known for each batch if it is not.
 */
SLUICE_API sluice_status sluice_store_register(sluice_store* store, void* memory,
                                               uint64_t bytes) SLUICE_NOEXCEPT;

/**
 * Forgets that memory.
 * @return SLUICE_E_NOT_FOUND: exactly this was not registered; SLUICE_E_FAILED_PRECONDITION: in
 * use.
 */
SLUICE_API sluice_status sluice_store_unregister(sluice_store* store, void* memory,
                                                 uint64_t bytes) SLUICE_NOEXCEPT;

#define SLUICE_BATCH_GET 0u
#define SLUICE_BATCH_PUT 1u
#define SLUICE_BATCH_EXISTS 2u
#define SLUICE_BATCH_REMOVE 3u

/** What sluice_store_submit() is asked to do. */
typedef struct sluice_batch {
    uint32_t struct_size;
    uint32_t kind;         /**< SLUICE_BATCH_* */
    const void* keys;      /**< n keys of key_size bytes, one after the other */
    uint32_t key_size;     /**< 1 to 32 */
    uint32_t n;            /**< at least 1 */
    void* const* memory;   /**< get, put: of each block; kept until the batch has ended */
    const uint64_t* bytes; /**< get, put: of each block */
    /** May be NULL; of each key, written before the batch ends. Exists: SLUICE_OK or
       SLUICE_E_NOT_FOUND. */
    sluice_status* results;
    double rank;   /**< the smaller goes first; among equals the first */
    uint64_t user; /**< comes back */
} sluice_batch;
#define SLUICE_BATCH_INIT \
    { (uint32_t)sizeof(sluice_batch), 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** How a batch ended. */
typedef struct sluice_batch_result {
    uint64_t ticket;
    uint64_t user;
    uint32_t kind;
    sluice_status status; /**< SLUICE_OK, or the first failure, misses included */
    uint32_t succeeded;   /**< keys whose result is SLUICE_OK */
    uint32_t leading;     /**< of those, the ones before the first that is not */
} sluice_batch_result;

/**
 * Starts a batch. Batches share the store's link block by block, in the order of their ranks: a
 * better one overtakes in the middle of another.
 * @return SLUICE_OK; SLUICE_E_INVALID_ARGUMENT; SLUICE_E_RESOURCE_EXHAUSTED: 65536 are under way.
 */
SLUICE_API sluice_status sluice_store_submit(sluice_store* store, const sluice_batch* batch,
                                             uint64_t* out_ticket) SLUICE_NOEXCEPT;

/** Readable while ended batches wait for sluice_store_poll. Owned by the store. */
SLUICE_API sluice_status sluice_store_event_fd(sluice_store* store, int* out_fd) SLUICE_NOEXCEPT;

/** Takes up to `capacity` ended batches, oldest end first. */
SLUICE_API sluice_status sluice_store_poll(sluice_store* store, sluice_batch_result* out,
                                           uint32_t capacity, uint32_t* out_n) SLUICE_NOEXCEPT;

/**
 * Waits for one batch and takes it, so that no poll sees it. Not for a store with a loop of yours.
 * @param timeout_ns  UINT64_MAX: none. After it the batch goes on; wait again, poll, or cancel.
 * @return SLUICE_OK, whatever the batch's own status; SLUICE_E_DEADLINE_EXCEEDED;
 *         SLUICE_E_NOT_FOUND: no such ticket, or taken by somebody else;
 *         SLUICE_E_CANCELLED: the store is being closed; when that has returned nothing touches the
 *         batch's memory.
 */
SLUICE_API sluice_status sluice_store_wait(sluice_store* store, uint64_t ticket,
                                           uint64_t timeout_ns,
                                           sluice_batch_result* out) SLUICE_NOEXCEPT;

/** Blocks not started yet end SLUICE_E_CANCELLED; those under way end as they do. */
SLUICE_API sluice_status sluice_store_cancel(sluice_store* store, uint64_t ticket) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_policy Policy
 *  @{ */

/** What a policy may know of a request. Seconds; the times per stage are 0 before admission. */
typedef struct sluice_request_view {
    uint32_t struct_size;
    int32_t priority;
    sluice_request_id request;
    uint64_t user; /**< as submitted */
    uint64_t arrival_ns;
    uint64_t deadline_ns; /**< of the first token; UINT64_MAX: none */
    uint32_t tenant;
    uint32_t admitted; /**< lookup is done; what follows is known */
    double tenant_weight;
    double rank; /**< as submitted, or as set since */
    uint64_t prompt_tokens;
    uint64_t load_tokens; /**< of those, planned to be loaded */
    double predicted_fetch_s, predicted_copy_s, predicted_compute_s;
    double remaining_fetch_s, remaining_copy_s, remaining_compute_s;
    double attained_fetch_s, attained_copy_s, attained_compute_s;
    sluice_app_id app; /**< that it is a part of; 0: of none */
    uint32_t prewarm;  /**< 1: it only loads, and goes behind all others whatever its rank */
    uint32_t reserved;
} sluice_request_view;

/** An order of yours. Called on one thread (the pipeline's control thread, or its loop); may be
   as slow as it likes: ranks come late then, bytes do not. What it has not ranked yet goes behind
   what it has, by arrival. (With SLUICE_PIPELINE_SPLIT_LOADS it is also asked how much to load;
   what waits 5 ms for the answer is loaded as a whole.) Views are borrowed for the call. */
typedef struct sluice_policy {
    uint32_t struct_size;
    uint32_t flags; /**< SLUICE_POLICY_RANKS_BY_SERVICE */
    void* user;
    /** The place of an admitted request in a stage's queue: the smaller goes first. NaN: last, and
       counted as a fault. Required. */
    double (*rank)(void* user, const sluice_request_view* r, uint32_t stage, uint64_t now_ns);
    /** When that changes although nothing happens to the request; UINT64_MAX: never. Or NULL. */
    uint64_t (*next_change)(void* user, const sluice_request_view* r, uint64_t now_ns);
    /** There is a new request. May be NULL. */
    void (*submitted)(void* user, const sluice_request_view* r, uint64_t now_ns);
    /** The request had `seconds` of a stage's resource. May be NULL. */
    void (*served)(void* user, const sluice_request_view* r, uint32_t stage, double seconds);
    /** It has had its outcome; the last call for it. May be NULL. */
    void (*done)(void* user, const sluice_request_view* r, uint64_t now_ns);
    uint64_t interval_ns; /**< how often all requests are ranked anew; 0: never */
} sluice_policy;
#define SLUICE_POLICY_INIT \
    { (uint32_t)sizeof(sluice_policy), 0, 0, 0, 0, 0, 0, 0, 0 }
/** Ranks depend on remaining time and improve with service. */
#define SLUICE_POLICY_RANKS_BY_SERVICE 1u

/** @} */

/** @defgroup c_cost Cost model
 *  @{ */

/** How much a request asks of one stage. */
typedef struct sluice_demand {
    /** Moving stages: to move, in so many pieces. */
    uint64_t bytes, descriptors;
    /** Compute: to compute, and before them. */
    uint64_t query_tokens, context_tokens;
} sluice_demand;

/** Predictions of yours. Called as a policy is. */
typedef struct sluice_cost_model {
    uint32_t struct_size;
    uint32_t flags; /**< must be 0 */
    void* user;
    /** Seconds of the stage's resource. Negative or not finite: 0, and counted. Required. */
    double (*predict)(void* user, uint32_t stage, const sluice_demand* demand);
    /** It took so many. May be NULL. */
    void (*observe)(void* user, uint32_t stage, const sluice_demand* demand, double seconds);
    /** Grows when queued requests should be ranked anew. May be NULL: never. */
    uint64_t (*generation)(void* user);
} sluice_cost_model;
#define SLUICE_COST_MODEL_INIT \
    { (uint32_t)sizeof(sluice_cost_model), 0, 0, 0, 0, 0 }

/** @} */

/** @defgroup c_compute Compute, if the library drives
 *  @{ */

/** A request that sluice_compute::run computes. */
typedef struct sluice_compute_job {
    uint32_t struct_size;
    uint32_t loaded_blocks; /**< the leading blocks whose KV is in L1 */
    sluice_op op;
    sluice_request_id request;
    uint64_t user;           /**< as submitted */
    uint64_t context_tokens; /**< in the loaded blocks */
    uint64_t query_tokens;   /**< to compute */
    const uint32_t* pages;   /**< block i of group g is in pages[g * pages_per_group + i] */
    uint32_t pages_per_group;
    uint32_t reserved;
} sluice_compute_job;

/** A compute of yours. */
typedef struct sluice_compute {
    uint32_t struct_size;
    uint32_t flags; /**< must be 0 */
    void* user;
    /** Computes the KV and the first token. On a thread of its own; may block. SLUICE_PENDING: it
       ends later, by sluice_complete(job->op); `pages` are valid until then, `job` is not. */
    sluice_status (*run)(void* user, const sluice_compute_job* job);
} sluice_compute;
#define SLUICE_COMPUTE_INIT \
    { (uint32_t)sizeof(sluice_compute), 0, 0, 0 }

/** @} */

/** @defgroup c_pipeline Pipeline
 *  @{ */

#define SLUICE_PIPELINE_ENGINE_OWNS_L1 1u /**< it binds pages; else the library gives them */
#define SLUICE_PIPELINE_SPLIT_LOADS 2u    /**< choose how much to load; else all that is cached */
#define SLUICE_PIPELINE_FAIL_ON_LOSS 4u   /**< of a block; else a shorter prefix is loaded */

#define SLUICE_RESERVE_PROACTIVE 0u    /**< L1 is asked for when the first fetch starts */
#define SLUICE_RESERVE_JUST_IN_TIME 1u /**< so that it is granted about when the fetch ends */
#define SLUICE_RESERVE_LATE 2u         /**< when all is in L2 */

/** Options of sluice_pipeline_open(). */
typedef struct sluice_pipeline_options {
    uint32_t struct_size;
    uint32_t flags;             /**< SLUICE_PIPELINE_* */
    const sluice_group* groups; /**< the layout of L1; required */
    uint32_t n_groups;
    uint32_t block_tokens; /**< 0: 16 */
    sluice_device* device; /**< required */
    sluice_store* store;   /**< NULL: no L3 */
    sluice_loop* loop;     /**< NULL: two threads of the pipeline's own */
    /** The order, as text: "fifo", "sjf", "lstf:late_last=off", "aging:after=30(sjf)", ...; NULL:
       "sjf". "external" is the order of the ranks that the engine gives. */
    const char* policy;
    const sluice_policy* custom_policy;   /**< in its place; copied */
    const char* cost;                     /**< "linear" or "calvo", learning; NULL: "linear" */
    const sluice_cost_model* custom_cost; /**< in its place; copied */
    const sluice_compute* compute;  /**< the library drives; copied. NULL: the engine drives */
    uint64_t l2_bytes;              /**< pinned memory; 0: 256 MiB */
    uint32_t max_requests;          /**< submitted and not released; 0: 65536 */
    uint32_t concurrent_computes;   /**< jobs in flight; 0: 1 */
    uint32_t reservation;           /**< SLUICE_RESERVE_* */
    uint32_t fetch_operations;      /**< in flight; 0: 64 */
    uint64_t fetch_bytes;           /**< in flight; 0: 4 MiB */
    uint32_t copy_operations;       /**< in flight; 0: 64 */
    uint32_t write_back_operations; /**< in flight; 0: 8 */
    uint64_t copy_bytes;            /**< in flight; 0: 4 MiB */
    uint64_t write_back_bytes;      /**< in flight; 0: 4 MiB */
    double write_back_share; /**< of L2, that blocks on their way to the store may pin; 0: 1/8 */
    double quarantine_share; /**< of L2; past it the store counts as dead; 0: 1/2 */
    uint64_t fetch_soft_timeout_ns; /**< of a block; 0: the larger of 250 ms and 4 x predicted */
    uint64_t fetch_hard_timeout_ns; /**< 0: 10 s */
    uint64_t load_timeout_ns;       /**< of a request, unless it has its own; 0: none */
    const struct sluice_app_options* apps; /**< NULL: all zero */
} sluice_pipeline_options;
#define SLUICE_PIPELINE_OPTIONS_INIT                                                               \
    {                                                                                              \
        (uint32_t)sizeof(sluice_pipeline_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                                     \
    }

/**
 * Makes a pipeline. The device, store and loop stay open until it is closed.
 * @return SLUICE_OK; SLUICE_E_INVALID_ARGUMENT: an option, which the text names;
 *         SLUICE_E_NOT_FOUND: no such policy, device, store or loop; SLUICE_E_UNSUPPORTED;
 *         SLUICE_E_RESOURCE_EXHAUSTED: memory, threads or descriptors; what the device or the store
 *         says.
 */
SLUICE_API sluice_status sluice_pipeline_open(const sluice_pipeline_options* options,
                                              sluice_pipeline** out) SLUICE_NOEXCEPT;

/**
 * Refuses new requests, cancels the rest, waits until no transfer is under way (for a hung store:
 * the hard timeout), and ends. Events not taken are lost. NULL is no error. With a loop of yours
 * it runs that loop.
 * @return SLUICE_OK; SLUICE_E_NOT_FOUND: closed already, or by another thread right now;
 *         SLUICE_E_FAILED_PRECONDITION: called by a callback.
 */
SLUICE_API sluice_status sluice_pipeline_close(sluice_pipeline* pipeline) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_requests Requests
 *  @{ */

#define SLUICE_REQUEST_NO_WRITE_BACK 1u /**< computed blocks are not stored */
#define SLUICE_REQUEST_TELL_LOOKUP 2u   /**< send SLUICE_EVENT_LOOKED_UP */
/** Nobody waits for it: its blocks are brought near for requests to come, and it ends
   SLUICE_EVENT_READY, also if the library drives. The library's L1: to there, where they stay as
   long as nobody needs the room; the engine's: to L2, and no pages are asked for. It takes what is
   idle only, behind everything else, and gives it up to anybody who needs it. Nothing is computed:
   prompt_tokens, pages and min_query_tokens mean nothing. Its outcome is its last event, without
   sluice_release; sluice_next_ready does not know it. */
#define SLUICE_REQUEST_PREWARM 4u

/** What sluice_submit() is told. */
typedef struct sluice_request {
    uint32_t struct_size;
    uint32_t flags; /**< SLUICE_REQUEST_* */
    /** Names of the prompt's full blocks, group-major: block i of group g is key g * n + i with n =
       n_keys / n_groups. n_keys may be 0: nothing is cached. */
    const void* keys;
    uint32_t key_size; /**< of each key, 1 to 32 */
    uint32_t n_keys;
    uint64_t prompt_tokens; /**< at least 1, at least the tokens of the n blocks */
    uint64_t user;          /**< comes back in events, views and jobs */
    /** Per group that it will touch (loaded, computed, generated); 0: the prompt's. */
    uint32_t pages;
    uint32_t resident_blocks;  /**< engine-owned L1: leading blocks that are in its pages already */
    uint32_t max_load_blocks;  /**< 0: no bound; UINT32_MAX: load nothing */
    uint32_t min_query_tokens; /**< computed even if all is cached; 0: 1 */
    int32_t priority;          /**< for policies of yours; the smaller is the more urgent */
    uint32_t tenant;
    double tenant_weight;     /**< 0: 1 */
    double rank;              /**< for the policy "external": the smaller goes first */
    uint64_t arrival_ns;      /**< 0: now */
    uint64_t deadline_ns;     /**< of the first token; 0: none */
    uint64_t load_timeout_ns; /**< after which it keeps what has arrived; 0: the pipeline's */
    /** That it is a part of: its rank and deadline are the request's too. One that has ended is as
       0. */
    sluice_app_id app;
} sluice_request;
#define SLUICE_REQUEST_INIT \
    { (uint32_t)sizeof(sluice_request), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * Starts a request: lookup and loading to L2 begin at once, before it has pages. Its id is live
 * until its outcome has been polled and, after READY, DETACHED or COMPUTED, sluice_release called.
 * @return SLUICE_OK; SLUICE_E_INVALID_ARGUMENT: it contradicts itself or the layout;
 *         SLUICE_E_OUT_OF_RANGE: it can never fit into L1; SLUICE_E_RESOURCE_EXHAUSTED:
 *         max_requests; SLUICE_E_FAILED_PRECONDITION: closing. Nothing else happens then.
 */
SLUICE_API sluice_status sluice_submit(sluice_pipeline* pipeline, const sluice_request* request,
                                       sluice_request_id* out) SLUICE_NOEXCEPT;

/** How far a request is: sluice_query(). */
typedef struct sluice_progress {
    uint32_t struct_size;
    uint32_t looked_up;  /**< 1: hit_blocks is known */
    uint32_t hit_blocks; /**< usable prefix that lookup found */
    /** Of those, the ones to load (and resident); grows smaller if one is lost. */
    uint32_t planned_blocks;
    uint32_t fetching_blocks; /**< over all groups: not in L2 yet */
    uint32_t loading_blocks;  /**< over all groups: not in L1 yet */
    /** At admission. */
    double predicted_fetch_s, predicted_copy_s, predicted_compute_s;
} sluice_progress;
#define SLUICE_PROGRESS_INIT \
    { (uint32_t)sizeof(sluice_progress), 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * How far a request is. Set out->struct_size; as many bytes are written.
 * @return SLUICE_OK; SLUICE_E_NOT_FOUND: the id is stale, as for all functions that take one.
 */
SLUICE_API sluice_status sluice_query(sluice_pipeline* pipeline, sluice_request_id request,
                                      sluice_progress* out) SLUICE_NOEXCEPT;

/**
 * Engine-owned L1: gives a request its pages, all in one call, group-major, as many per group as
 * submitted. Any time after submit; SLUICE_EVENT_WANT_PAGES says when loading needs them.
 * SLUICE_NO_PAGE is a hole, allowed where nothing is loaded.
 * @return SLUICE_OK; SLUICE_E_INVALID_ARGUMENT: another number, or a page out of range;
 *         SLUICE_E_FAILED_PRECONDITION: bound already, or the library owns L1.
 */
SLUICE_API sluice_status sluice_bind(sluice_pipeline* pipeline, sluice_request_id request,
                                     const uint32_t* pages, uint32_t n) SLUICE_NOEXCEPT;

/** Stops waiting: the request ends SLUICE_EVENT_DETACHED with what has arrived, as after its
    timeout. No effect after loading. */
SLUICE_API sluice_status sluice_detach(sluice_pipeline* pipeline,
                                       sluice_request_id request) SLUICE_NOEXCEPT;

/** Ends a request early: its outcome is SLUICE_EVENT_CANCELLED unless it has had one. */
SLUICE_API sluice_status sluice_cancel(sluice_pipeline* pipeline,
                                       sluice_request_id request) SLUICE_NOEXCEPT;

/** The engine has no more use for the request and its pages. Before an outcome it cancels. */
SLUICE_API sluice_status sluice_release(sluice_pipeline* pipeline,
                                        sluice_request_id request) SLUICE_NOEXCEPT;

/** Gives a request another rank, for the policy "external".
    @return SLUICE_E_INVALID_ARGUMENT: NaN. */
SLUICE_API sluice_status sluice_set_rank(sluice_pipeline* pipeline, sluice_request_id request,
                                         double rank) SLUICE_NOEXCEPT;

/**
 * The engine drives: the first token is there. Computed blocks go to L2 and the store.
 * @param compute_ns  what the computation took, for the cost model; 0: not known.
 * @return SLUICE_E_FAILED_PRECONDITION: before READY or DETACHED, a second time, or the library
 *         drives.
 */
SLUICE_API sluice_status sluice_compute_done(sluice_pipeline* pipeline, sluice_request_id request,
                                             uint64_t compute_ns) SLUICE_NOEXCEPT;

/**
 * Stores blocks that are in L1, for example those that were generated: from these pages, which must
 * not change until SLUICE_EVENT_STORED says how many were stored. Blocks that the store has are not
 * moved again (and not counted). Never waits for memory: what finds none is left out. Pages that
 * the library gave: do not release their request before the event.
 * @param keys, pages  group-major, n of each.
 * @param out  names it in that event, the last for it; no sluice_release.
 * @return as sluice_submit.
 */
SLUICE_API sluice_status sluice_store_blocks(sluice_pipeline* pipeline, const void* keys,
                                             uint32_t key_size, const uint32_t* pages, uint32_t n,
                                             uint64_t user, sluice_request_id* out) SLUICE_NOEXCEPT;

/**
 * The pages of a request that is loaded, group-major; what was bound, if the engine owns L1.
 * @param out_n  how many there are, also if `capacity` is less: then SLUICE_E_TRUNCATED.
 * @return SLUICE_E_FAILED_PRECONDITION: not loaded yet, or given back.
 */
SLUICE_API sluice_status sluice_pages(sluice_pipeline* pipeline, sluice_request_id request,
                                      uint32_t* out, uint32_t capacity,
                                      uint32_t* out_n) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_events Events
 *  @{ */

#define SLUICE_EVENT_WANT_PAGES 0u /**< engine-owned L1: call sluice_bind */
#define SLUICE_EVENT_LOADED 1u     /**< library drives: the blocks are in L1, compute is queued */
/* Outcomes, one per request: */
#define SLUICE_EVENT_READY 2u /**< engine drives: the first `blocks` blocks are in L1 */
/** As READY, but `blocks` are what had arrived in time. With SLUICE_EVENT_BUSY late copies may
   still write to the pages behind those: compute into them only after SLUICE_EVENT_QUIESCED. */
#define SLUICE_EVENT_DETACHED 3u
#define SLUICE_EVENT_COMPUTED 4u  /**< library drives: first token there; `blocks` were loaded */
#define SLUICE_EVENT_CANCELLED 5u /**< by sluice_cancel, sluice_release or the pipeline's end */
#define SLUICE_EVENT_FAILED 6u    /**< see `status` and `text` */
/* Afterwards: */
#define SLUICE_EVENT_QUIESCED 7u /**< no transfer touches its pages any more */
/** Write-back has ended, `blocks` were stored. Always comes after sluice_compute_done or
   SLUICE_EVENT_COMPUTED, unless SLUICE_REQUEST_NO_WRITE_BACK. Wait for it before you use pages of
   yours for anything else, and before the end if the blocks are to be in the store then. */
#define SLUICE_EVENT_STORED 8u
/** If the request asked for it; before its other events. `blocks`: the usable prefix that lookup
   found, as sluice_query tells too. */
#define SLUICE_EVENT_LOOKED_UP 9u

/** In `flags` of an outcome: a transfer or computation may still touch the pages; QUIESCED follows,
    and pages of the engine's wait for it. */
#define SLUICE_EVENT_BUSY 1u

/** Something that an engine should know: sluice_poll(). */
typedef struct sluice_event {
    sluice_request_id request;
    uint64_t user; /**< as submitted */
    uint32_t kind;
    uint32_t flags;
    uint32_t blocks;
    sluice_status status; /**< FAILED: why; else SLUICE_OK */
    const char* text;     /**< FAILED: why; else "". Valid until this thread polls again */
} sluice_event;

/** Readable while events wait. For select, poll, epoll, asyncio. Owned by the pipeline. */
SLUICE_API sluice_status sluice_event_fd(sluice_pipeline* pipeline, int* out_fd) SLUICE_NOEXCEPT;

/** Takes up to `capacity` events, oldest first. None is no error. */
SLUICE_API sluice_status sluice_poll(sluice_pipeline* pipeline, sluice_event* out,
                                     uint32_t capacity, uint32_t* out_n) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_order Order, if the engine drives
 *  @{ */

/** Sorts ids by the last published ranks, best first; what the policy has not ranked yet behind
    them, stale ones last. Calls no user code. */
SLUICE_API sluice_status sluice_sort(sluice_pipeline* pipeline, sluice_request_id* requests,
                                     uint32_t n) SLUICE_NOEXCEPT;

/** The best request that is ready and has not been given out here; 0 if there is none. Its event
   may still wait in sluice_poll; sluice_request_report says how many blocks were loaded. */
SLUICE_API sluice_status sluice_next_ready(sluice_pipeline* pipeline,
                                           sluice_request_id* out) SLUICE_NOEXCEPT;

/** @} */

/** @defgroup c_reports What happened
 *  @{ */

/** What happened to a request, and when. Instants that did not happen are UINT64_MAX. */
typedef struct sluice_report {
    uint32_t struct_size;
    uint32_t hit_blocks;
    uint32_t planned_blocks;
    uint32_t loaded_blocks;
    uint64_t arrival_ns, looked_up_ns, first_fetch_ns;
    uint64_t fetched_ns; /**< the last block landed in L2 */
    uint64_t granted_ns; /**< pages of L1 */
    uint64_t first_copy_ns, loaded_ns, compute_begin_ns;
    uint64_t first_token_ns; /**< TTFT ends */
    /** At admission. */
    double predicted_fetch_s, predicted_copy_s, predicted_compute_s;
    double attained_fetch_s, attained_copy_s, attained_compute_s;
    uint64_t bytes_fetched;      /**< by transfers that this request started */
    uint64_t bytes_deduplicated; /**< came by transfers that others started */
} sluice_report;
#define SLUICE_REPORT_INIT \
    { (uint32_t)sizeof(sluice_report), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * The story of a request that has had its outcome and is not released. Set out->struct_size.
 * @return SLUICE_E_FAILED_PRECONDITION: too early.
 */
SLUICE_API sluice_status sluice_request_report(sluice_pipeline* pipeline, sluice_request_id request,
                                               sluice_report* out) SLUICE_NOEXCEPT;

/** Counts since the pipeline was opened. */
typedef struct sluice_stats {
    uint32_t struct_size;
    uint32_t live_requests;
    uint64_t submitted, outcomes;
    uint64_t fetched_bytes, copied_bytes, copied_out_bytes, put_bytes;
    uint64_t fetch_busy_ns, copy_busy_ns, compute_busy_ns;
    uint64_t bytes_deduplicated;
    /** Blocks found there when planned. */
    uint64_t l1_hits, l2_hits;
    uint64_t blocks_missed, blocks_corrupt, blocks_failed;
    uint64_t soft_timeouts, hard_timeouts;
    uint64_t stored_blocks, store_drops;
    uint64_t policy_faults, cost_faults;
    uint32_t l2_slots, l2_free, l2_cold, l2_quarantined;
    uint32_t store_dead; /**< 1: nothing more is fetched from it */
    uint32_t reserved;
    /** Mean relative errors of predictions, |predicted - actual| / actual. */
    double fetch_error, copy_error, compute_error;
    uint64_t prewarm_requests; /**< that have had their outcome */
    uint64_t prewarmed_blocks; /**< over all groups, that were there when they ended */
    uint64_t apps_begun, apps_ended;
    uint64_t app_events_refused; /**< of those that have ended, out of order, or impossible */
} sluice_stats;
#define SLUICE_STATS_INIT                                                                        \
    {                                                                                            \
        (uint32_t)sizeof(sluice_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                    \
    }

/** Set out->struct_size; as many bytes are written. Counts may lag behind the events of one turn.
 */
SLUICE_API sluice_status sluice_pipeline_stats(sluice_pipeline* pipeline,
                                               sluice_stats* out) SLUICE_NOEXCEPT;

/**
 * All of that and more as Prometheus text, with a NUL.
 * @param buffer  may be NULL if capacity is 0.
 * @param needed  bytes that it takes; SLUICE_E_TRUNCATED, and an empty text, if capacity is less.
 */
SLUICE_API sluice_status sluice_metrics(sluice_pipeline* pipeline, char* buffer, uint64_t capacity,
                                        uint64_t* needed) SLUICE_NOEXCEPT;

/** @} */

/**
 * @defgroup c_split Engines whose scheduler and workers are separate processes
 *
 * The scheduler opens a planner, a pipeline that moves no bytes, and uses it like any other:
 * submit, query, bind, poll, compute_done, release. Each worker (rank) opens a pipeline with the
 * policy "external", its own store, device and keys. What the planner decided travels as a plan to
 * every worker, what the workers did travels back as one merged report, both as opaque bytes on the
 * messages that the engine sends anyway. Workers progress between the messages.
 *
 *  - scheduler: sluice_plan_export -> worker: sluice_plan_import
 *  - worker: sluice_worker_report_export -> sluice_report_merge -> scheduler: sluice_report_import
 *
 * Over the ranks: hits and loaded blocks are the smallest; pages are wanted when one rank wants
 * them; a request is ready when it is ready at all, and has failed if it failed at one and has
 * ended at all. At the planner blocks count as missing (sluice_query) until then. With `fair(...)`
 * tenants share at the workers, whose policy is then "fair(external)".
 * @{
 */

/** Options of sluice_planner_open(). */
typedef struct sluice_planner_options {
    uint32_t struct_size;
    uint32_t flags;        /**< must be 0 */
    uint32_t workers;      /**< ranks whose reports are awaited, at most 64; 0: 1 */
    uint32_t n_groups;     /**< as the workers' */
    uint32_t block_tokens; /**< as the workers'; 0: 16 */
    uint32_t max_requests; /**< 0: 65536. Workers need more: they let go of requests later */
    uint32_t pages;        /**< of L1 per group, which a request must fit into */
    uint32_t block_pieces; /**< descriptors of a block's copy, over groups; for costs; 0: 1 */
    uint64_t block_bytes;  /**< of a block at one rank, over groups; for costs */
    const char* policy;    /**< as of a pipeline; called inside plan_export and report_import */
    const sluice_policy* custom_policy;
    const char* cost;
    const sluice_cost_model* custom_cost;
    const sluice_clock* clock;             /**< NULL: CLOCK_MONOTONIC; copied */
    const struct sluice_app_options* apps; /**< NULL: all zero */
} sluice_planner_options;
#define SLUICE_PLANNER_OPTIONS_INIT \
    { (uint32_t)sizeof(sluice_planner_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** Makes a planner; the workers' L1 is engine-owned and the engine drives.
    @return as for a pipeline. */
SLUICE_API sluice_status sluice_planner_open(const sluice_planner_options* options,
                                             sluice_pipeline** out) SLUICE_NOEXCEPT;

/**
 * What has been decided since the last export that fitted; once per step of the engine, also when
 * nothing was asked for, as ranks may change by themselves. Calls the policy.
 * @param needed  bytes that it takes; 0: nothing to tell. SLUICE_E_TRUNCATED if capacity is less:
 *                nothing is lost, call again.
 * @return SLUICE_E_FAILED_PRECONDITION: not a planner.
 */
SLUICE_API sluice_status sluice_plan_export(sluice_pipeline* planner, void* buffer,
                                            uint64_t capacity, uint64_t* needed) SLUICE_NOEXCEPT;

/**
 * Carries out a plan at a worker. Plans come in order, each once; an empty one is none.
 * @param key_suffix  bytes that are appended to every key, so that ranks name their own blocks; may
 *                    be NULL with suffix_size 0. Keys and suffix together have at most 32 bytes.
 * @return SLUICE_OK, whatever becomes of single requests (the report tells);
 *         SLUICE_E_INVALID_ARGUMENT: not a plan, damaged, or out of order; nothing is done then;
 *         SLUICE_E_FAILED_PRECONDITION: a planner, or not a worker's pipeline (engine-owned L1, the
 *         engine drives, the policy "external").
 */
SLUICE_API sluice_status sluice_plan_import(sluice_pipeline* worker, const void* plan,
                                            uint64_t bytes, const void* key_suffix,
                                            uint32_t suffix_size) SLUICE_NOEXCEPT;

/**
 * What has happened at a worker since the last export that fitted; call it after each import and
 * when sluice_event_fd is readable. As sluice_plan_export otherwise. A pipeline that has imported a
 * plan serves plans only: calls that name or take requests are refused.
 * @param rank  whose report it is: 0 up to `workers` - 1 of the planner.
 */
SLUICE_API sluice_status sluice_worker_report_export(sluice_pipeline* worker, uint32_t rank,
                                                     void* buffer, uint64_t capacity,
                                                     uint64_t* needed) SLUICE_NOEXCEPT;

/**
 * Makes one report of several, of different ranks or of one; in any order, also of merged ones.
 * @return SLUICE_E_INVALID_ARGUMENT: one of them is not a report; SLUICE_E_TRUNCATED.
 */
SLUICE_API sluice_status sluice_report_merge(const void* const* reports, const uint64_t* bytes,
                                             uint32_t n, void* buffer, uint64_t capacity,
                                             uint64_t* needed) SLUICE_NOEXCEPT;

/**
 * Lets the planner know; its events follow. Reports may come in any order; one that comes twice
 * does no harm, one that is lost leaves its requests waiting.
 * @return SLUICE_E_INVALID_ARGUMENT: not a report, damaged, or of a rank that there is not; nothing
 *         is done then.
 */
SLUICE_API sluice_status sluice_report_import(sluice_pipeline* planner, const void* report,
                                              uint64_t bytes) SLUICE_NOEXCEPT;

/** @} */

/**
 * @defgroup c_apps Applications: many requests, and work elsewhere, one after the other
 *
 * An agent or a chain is a run of *units*: one model call, or several side by side, or a tool. The
 * engine, or what stands before it, reports when a run and its units begin and end; the pipeline
 * expects of a run what others of its class have needed, and the policies "gittins", "mean_srpt",
 * "app_lstf", "app_fifo", "las" and "vtc" make one order of all runs. Requests name their run in
 * sluice_request; sluice_app_rank serves queues outside. At a planner (\ref c_split) as at a
 * pipeline: ranks are worked out in sluice_plan_export there.
 *
 * An event that cannot be (of a run that has ended: SLUICE_E_NOT_FOUND; out of order:
 * SLUICE_E_FAILED_PRECONDITION; impossible numbers: SLUICE_E_INVALID_ARGUMENT) is refused, counted,
 * and changes nothing, but that less is expected to be known of its run. Strings are
 * NUL-terminated, of 1 to 256 bytes.
 * @{
 */

#define SLUICE_APPS_NO_LEARNING 1u /**< runs that end do not become samples of their class */

/** How applications are followed. The seconds of a token are those of an engine at work. */
typedef struct sluice_app_options {
    uint32_t struct_size;
    uint32_t flags;       /**< SLUICE_APPS_* */
    double prefill_s;     /**< of a token that is computed; 0: 0.0001 */
    double decode_s;      /**< of one that is generated; 0: 0.06 */
    double load_s;        /**< of one that is loaded; 0: nothing */
    uint64_t interval_ns; /**< how often one that makes progress is ranked anew; 0: 100 ms */
    uint32_t max_apps;    /**< live ones; 0: 65536 */
    uint32_t reserved;    /**< must be 0 */
} sluice_app_options;
#define SLUICE_APP_OPTIONS_INIT \
    { (uint32_t)sizeof(sluice_app_options), 0, 0, 0, 0, 0, 0, 0 }

/**
 * Takes what is known of a class of applications, a file of `sluice demand learn`. It takes the
 * place of what was known of that class. Works out the model, which may take a millisecond.
 * @return SLUICE_E_INVALID_ARGUMENT: not such a file, as the text says.
 */
SLUICE_API sluice_status sluice_app_model_load(sluice_pipeline* pipeline, const char* json,
                                               uint64_t bytes) SLUICE_NOEXCEPT;

/** A run as it begins. */
typedef struct sluice_app {
    uint32_t struct_size;
    uint32_t flags;          /**< must be 0 */
    const char* application; /**< its class; one that no model knows is fine. Required */
    uint64_t user;           /**< for you */
    uint64_t arrival_ns;     /**< 0: now */
    uint64_t deadline_ns;    /**< of its end; 0: none */
    double tenant_weight;    /**< 0: 1 */
    uint32_t tenant;
    uint32_t reserved; /**< must be 0 */
} sluice_app;
#define SLUICE_APP_INIT \
    { (uint32_t)sizeof(sluice_app), 0, 0, 0, 0, 0, 0, 0, 0 }

/** A run begins. @return also SLUICE_E_RESOURCE_EXHAUSTED: max_apps. */
SLUICE_API sluice_status sluice_app_begin(sluice_pipeline* pipeline, const sluice_app* app,
                                          sluice_app_id* out) SLUICE_NOEXCEPT;

#define SLUICE_APP_INCOMPLETE 1u /**< cancelled, say: not learned from */

/** It has ended; its requests keep the rank that it had.
    @param flags  SLUICE_APP_* */
SLUICE_API sluice_status sluice_app_end(sluice_pipeline* pipeline, sluice_app_id app,
                                        uint32_t flags) SLUICE_NOEXCEPT;

/** A unit as it begins. */
typedef struct sluice_unit {
    uint32_t struct_size;
    uint32_t calls;   /**< side by side; 0: 1 */
    const char* unit; /**< its name. Required */
    /** NULL: "llm". What is not "llm" takes time in place of tokens; "env" is a wait that nobody
       schedules. */
    const char* backend;
    uint64_t prompt_tokens; /**< of all calls together */
    uint64_t cached_tokens; /**< of those: loaded, not computed */
    uint64_t time_ns;       /**< 0: now */
} sluice_unit;
#define SLUICE_UNIT_INIT \
    { (uint32_t)sizeof(sluice_unit), 0, 0, 0, 0, 0, 0 }

/** A unit begins. The one before it has ended. */
SLUICE_API sluice_status sluice_unit_begin(sluice_pipeline* pipeline, sluice_app_id app,
                                           const sluice_unit* unit) SLUICE_NOEXCEPT;

/** What its calls have had so far, all together; not less than before. Optional; best at most every
    few milliseconds. Of the prompt's tokens those count that were computed or loaded. */
SLUICE_API sluice_status sluice_unit_progress(sluice_pipeline* pipeline, sluice_app_id app,
                                              uint64_t prompt_tokens, uint64_t cached_tokens,
                                              uint64_t completion_tokens) SLUICE_NOEXCEPT;

/** What the calls of a unit have had in the end. */
typedef struct sluice_unit_result {
    uint32_t struct_size;
    uint32_t flags;                 /**< must be 0 */
    uint64_t prompt_tokens;         /**< of all calls; 0: as at its begin */
    uint64_t cached_tokens;         /**< as well */
    uint64_t completion_tokens;     /**< of all calls */
    uint64_t max_prompt_tokens;     /**< of one call; 0: all had the same */
    uint64_t max_completion_tokens; /**< as well */
    double seconds;                 /**< of one call that is not "llm"; 0: since its begin */
    uint64_t time_ns;               /**< 0: now */
} sluice_unit_result;
#define SLUICE_UNIT_RESULT_INIT \
    { (uint32_t)sizeof(sluice_unit_result), 0, 0, 0, 0, 0, 0, 0, 0 }

/** The unit that was under way has ended. `result` may be NULL: all zero. */
SLUICE_API sluice_status sluice_unit_end(sluice_pipeline* pipeline, sluice_app_id app,
                                         const sluice_unit_result* result) SLUICE_NOEXCEPT;

/**
 * The last rank of a run, for queues outside: the smaller `tier` goes first, then the smaller rank.
 * Before the first, behind all that have one. Ranks follow events by a moment.
 * @param rank, tier  may be NULL.
 */
SLUICE_API sluice_status sluice_app_rank(sluice_pipeline* pipeline, sluice_app_id app, double* rank,
                                         uint32_t* tier) SLUICE_NOEXCEPT;

/** @} */

/** @} */

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_SLUICE_H */
