"""Describe the one C extension, for `setup.py` and for nobody else (cffi, API mode).

`kernel.c` is the source, with its declarations here; a further part is X.c with X.h, which holds
declarations alone. libbpf is linked and does the loading. Needs libbpf's headers
(Debian: libbpf-dev) and a C compiler at install time.
"""

from __future__ import annotations

import pathlib

import cffi

HERE = pathlib.Path(__file__).resolve().parent
# The parts beside kernel.c, one translation unit with it.
PARTS: tuple[str, ...] = ("link", "called", "fuzz_frames", "fuzz_mutate", "fuzz")

CDEF = """
struct pr_runner {
    int prog_fd; int netns_fd; uint32_t repeat; uint32_t flags; uint32_t batch_size;
    uint32_t ctx_in_size; uint32_t ctx_out_size; uint32_t out_capacity;
    uint8_t ctx_in[512]; uint8_t *out;
    uint32_t retval; uint32_t out_size; uint32_t duration; uint32_t ctx_size;
    uint8_t ctx_out[512];
};
int pr_run(struct pr_runner *, const void *frame, uint32_t size);

struct pr_batch {
    uint32_t *retvals; uint32_t *durations; uint64_t *ends;
    uint8_t *contexts; uint32_t context_size; uint8_t *data;
    uint64_t capacity; uint64_t used; int64_t done;
};
struct pr_batch *pr_batch_new(uint64_t count, uint64_t capacity, uint32_t context_size);
void pr_batch_free(struct pr_batch *);
int pr_run_many(struct pr_runner *, struct pr_batch *, const uint8_t *frames,
                const uint32_t *sizes, uint64_t first, uint64_t count,
                uint32_t least, uint32_t most, uint32_t linear);

int64_t pr_map_dump(int fd, uint32_t key_size, uint32_t value_size, uint64_t room, uint8_t *out);
int pr_map_clear(int fd, uint32_t key_size);
int pr_array_read(int fd, uint32_t count, uint32_t value_size, uint8_t *out);
int pr_array_clear(int fd, uint32_t count, uint32_t value_size);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value);
int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);
int bpf_map_get_fd_by_id(uint32_t id);
int bpf_prog_get_fd_by_id(uint32_t id);
int libbpf_num_possible_cpus(void);
int sched_getcpu(void);
uint32_t libbpf_major_version(void);
uint32_t libbpf_minor_version(void);

void pr_init(void);
const char *pr_messages(void);
void pr_messages_clear(void);

struct bpf_object;
struct bpf_program;
struct bpf_map;
struct btf;
struct bpf_object *pr_object_open(const void *elf, size_t size, const char *name);
int bpf_object__load(struct bpf_object *);
void bpf_object__close(struct bpf_object *);
struct btf *bpf_object__btf(const struct bpf_object *);
int pr_inner_create(struct bpf_object *, int type, uint32_t key_size, uint32_t value_size,
                    uint32_t max_entries, uint32_t flags, uint32_t key_type, uint32_t value_type);
const void *btf__raw_data(const struct btf *, uint32_t *size);

struct bpf_program *bpf_object__next_program(const struct bpf_object *, struct bpf_program *);
const char *bpf_program__name(const struct bpf_program *);
const char *bpf_program__section_name(const struct bpf_program *);
int bpf_program__type(const struct bpf_program *);
int bpf_program__set_type(struct bpf_program *, int type);
int bpf_program__expected_attach_type(const struct bpf_program *);
int bpf_program__set_expected_attach_type(struct bpf_program *, int type);
uint32_t bpf_program__flags(const struct bpf_program *);
int bpf_program__set_flags(struct bpf_program *, uint32_t flags);
bool bpf_program__autoload(const struct bpf_program *);
int bpf_program__set_autoload(struct bpf_program *, bool autoload);
size_t bpf_program__insn_cnt(const struct bpf_program *);
const void *bpf_program__insns(const struct bpf_program *);
int bpf_program__fd(const struct bpf_program *);
int bpf_program__set_log_buf(struct bpf_program *, char *buf, size_t size);
int bpf_program__set_log_level(struct bpf_program *, uint32_t level);

struct bpf_map *bpf_object__next_map(const struct bpf_object *, const struct bpf_map *);
const char *bpf_map__name(const struct bpf_map *);
int bpf_map__type(const struct bpf_map *);
int bpf_map__fd(const struct bpf_map *);
uint32_t bpf_map__key_size(const struct bpf_map *);
uint32_t bpf_map__value_size(const struct bpf_map *);
uint32_t bpf_map__max_entries(const struct bpf_map *);
int bpf_map__set_max_entries(struct bpf_map *, uint32_t);
uint32_t bpf_map__map_flags(const struct bpf_map *);
int bpf_map__set_map_flags(struct bpf_map *, uint32_t);
uint64_t bpf_map__map_extra(const struct bpf_map *);
uint32_t bpf_map__btf_key_type_id(const struct bpf_map *);
uint32_t bpf_map__btf_value_type_id(const struct bpf_map *);
bool bpf_map__is_internal(const struct bpf_map *);
int bpf_map__set_pin_path(struct bpf_map *, const char *path);
int bpf_map__set_autocreate(struct bpf_map *, bool autocreate);
int bpf_map__set_type(struct bpf_map *, int type);
int bpf_map__set_initial_value(struct bpf_map *, const void *data, size_t size);
const void *bpf_map__initial_value(struct bpf_map *, size_t *size);
struct bpf_map *bpf_map__inner_map(struct bpf_map *);

struct pr_records { uint8_t *data; size_t used; uint64_t lost; ...; };
struct pr_records *pr_records_open(int map_fd, bool perf);
int pr_records_read(struct pr_records *);
void pr_records_free(struct pr_records *);

int pr_netns_new(void);
int pr_netns_enter(int fd);
int pr_netns_leave(int home);

int pr_prog_load(uint32_t type, uint32_t expected_attach, uint32_t flags,
                 const void *insns, size_t count);
struct bpf_link_update_opts;
int bpf_link_update(int link_fd, int prog_fd, const struct bpf_link_update_opts *);
int pr_tcx_ingress(int prog_fd, int ifindex);
struct bpf_link_create_opts;
int bpf_link_create(int prog_fd, int target_fd, int attach_type,
                    const struct bpf_link_create_opts *);
int pr_die_with_parent(void);
int pr_cell_new(uint32_t size);
struct pr_prog_info {
    uint32_t type, id, jited, xlated, verified, btf_id;
    uint64_t load_time, run_cnt, run_time_ns;
    uint8_t tag[8];
};
int pr_prog_info(int fd, struct pr_prog_info *);
struct pr_map_info { uint32_t type, id, key_size, value_size, max_entries, flags; };
int pr_map_info(int fd, struct pr_map_info *);
"""

HEADERS = [(HERE / f"{part}.h").read_text() for part in PARTS]
SOURCES = [(HERE / f"{part}.c").read_text() for part in PARTS]

ffibuilder = cffi.FFI()
ffibuilder.cdef("\n".join([CDEF, *HEADERS]))
ffibuilder.set_source(
    "packetrig._bpf._kernel",
    "\n".join([(HERE / "kernel.c").read_text(), *HEADERS, *SOURCES]),
    libraries=["bpf"],
    extra_compile_args=["-O2", "-Wall", "-Wno-unused-function"],
)
