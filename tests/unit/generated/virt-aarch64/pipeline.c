// The pipeline, written by edgeuk from gateway.toml.
// Board: virt-aarch64 (QEMU's Arm machine `virt`, 64 bit). Changes here are lost.

#include "ek/i2c.h"
#include "pipeline/filters.h"
#include "pipeline/pipeline.h"
#include "modbus_tcp.h"
#include "sim.h"

static struct modbus_tcp_connection modbus_tcp_connection_0;
static const struct modbus_tcp_server modbus_tcp_server_0 = {
    .name = "main",
    .key = "server.main",
    .connection = &modbus_tcp_connection_0,
};

static struct modbus_tcp_state modbus_tcp_state_0;
static const struct modbus_tcp_point modbus_tcp_points_0[] = {
    {.num = 10, .den = 1u, .offset = 0, .type = MODBUS_TCP_FLOAT32, .order = 0}, // voltage
    {.num = 1, .den = 1u, .offset = 4, .type = MODBUS_TCP_U32, .order = 1}, // energy
};
static const struct modbus_tcp modbus_tcp_0 = {
    .server = &modbus_tcp_server_0,
    .state = &modbus_tcp_state_0,
    .points = modbus_tcp_points_0,
    .timeout_ms = 1000,
    .channel = 0,
    .point_count = 2,
    .first = 0,
    .count = 6,
    .unit = 1,
    .function = 4,
    .retries = 1,
};

// [[sensor]] wave
static struct sim_state sim_2_state;
static const struct sim sim_2 = {
    .channel = 2,
    .shape = "sine",
    .low = -1500,
    .high = 1500,
    .period = 10000,
    .seed = 1,
    .state = &sim_2_state,
};

// filters of voltage
static const struct moving_average_params moving_average_0_0 = {.size = 4};
static struct window_state moving_average_0_0_state = {.values = {[3] = 0}};
static const struct clamp_params clamp_0_1 = {.low = 0, .high = 5000};
static const struct filter filters_0[] = {
    {&filter_moving_average_ops, &moving_average_0_0, &moving_average_0_0_state},
    {&filter_clamp_ops, &clamp_0_1, NULL},
};

const struct channel pipeline_channels[] = {
    {.name = "voltage", .unit = "V", .filters = filters_0, .filter_count = 2, .decimals = 1},
    {.name = "energy", .unit = "kWh", .decimals = 2},
    {.name = "wave", .unit = "", .decimals = 3},
};
const uint16_t pipeline_channel_count = 3;

const struct poll pipeline_polls[] = {
    {&modbus_tcp_ops, &modbus_tcp_0, .period_ms = 1000, .phase_ms = 0, .channel = 0, .channel_count = 2},
    {&sim_ops, &sim_2, .period_ms = 500, .phase_ms = 0, .channel = 2, .channel_count = 1},
};
const uint16_t pipeline_poll_count = 2;
struct poll_state pipeline_poll_states[2];

const struct pipeline_settings pipeline_settings = {
    .overflow = OVERFLOW_DROP_OLDEST,
    .encoding = ENCODING_SENML_CBOR,
    .qos = 1,
    .batch_ms = 100,
    .statistics_s = 60,
};
