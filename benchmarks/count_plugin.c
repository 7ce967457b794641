// SPDX-License-Identifier: Apache-2.0
// A plugin of QEMU that counts the instructions of a program: qemu-aarch64 -d plugin -plugin count_plugin.so PROGRAM.
// Says at the end, in QEMU's log, "function NAME: N" for each and "instructions: N". The few functions it needs are
// declared here, as version 1 of the plugin interface has them (QEMU 4.2 to 8.2): distributions ship no header.
#define _POSIX_C_SOURCE 200809L  // strdup
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
typedef struct qemu_plugin_tb qemu_plugin_tb;  // a block of translated instructions, to the next branch
typedef struct qemu_plugin_insn qemu_plugin_insn;

enum { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *block);
qemu_plugin_insn *qemu_plugin_tb_get_insn(const qemu_plugin_tb *block, size_t index);
const char *qemu_plugin_insn_symbol(const qemu_plugin_insn *instruction);  // NULL: of a library, or stripped
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb *block, int operation, void *counter, uint64_t by);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, void *), void *data);
void qemu_plugin_outs(const char *text);

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int qemu_plugin_version = 1;

// A function of the program, or of its libraries all that have no name. One thread runs the program, so that nothing is
// locked; QEMU adds to the counters until the end, so that they are never freed.
typedef struct function {
    char *name;
    uint64_t executed;
    struct function *next;
} function;

static function *functions;

static function *function_named(const char *name) {
    function *f = functions;
    while (f && strcmp(f->name, name) != 0) f = f->next;
    if (f) return f;
    f = calloc(1, sizeof *f);
    if (!f || !(f->name = strdup(name))) abort();
    f->next = functions;
    return functions = f;
}

static void translated(qemu_plugin_id_t id, qemu_plugin_tb *block) {
    (void)id;
    const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(block, 0));
    function *f = function_named(name && *name ? name : "?");
    const size_t length = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &f->executed, length);
}

static void ended(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    char text[200];
    uint64_t all = 0;
    for (const function *f = functions; f; f = f->next) {
        all += f->executed;
        snprintf(text, sizeof text, "function %.150s: %" PRIu64 "\n", f->name, f->executed);
        qemu_plugin_outs(text);
    }
    snprintf(text, sizeof text, "instructions: %" PRIu64 "\n", all);
    qemu_plugin_outs(text);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
