// SPDX-License-Identifier: Apache-2.0
// A plugin of QEMU that counts the instructions of a program: qemu-aarch64 -d plugin -plugin count_plugin.so PROGRAM.
// Says at the end, in QEMU's log, "instructions: N". The few functions it needs are declared here, as version 1 of the
// plugin interface has them (QEMU 4.2 to 8.2), because distributions ship no header for them.
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
typedef struct qemu_plugin_tb qemu_plugin_tb;  // a block of translated instructions

enum { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb *block, int operation, void *counter, uint64_t by);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, void *), void *data);
void qemu_plugin_outs(const char *text);

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int qemu_plugin_version = 1;

static uint64_t executed;  // one thread runs the program

static void translated(qemu_plugin_id_t id, qemu_plugin_tb *block) {
    (void)id;
    const size_t length = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &executed, length);
}

static void ended(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    char text[40];
    snprintf(text, sizeof text, "instructions: %" PRIu64 "\n", executed);
    qemu_plugin_outs(text);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
