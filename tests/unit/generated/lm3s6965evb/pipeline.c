// The pipeline, written by edgeuk from gateway.toml.
// Board: lm3s6965evb (Stellaris LM3S6965 evaluation board: Cortex-M3, Ethernet, I2C). Changes here are lost.

#include "ek/i2c.h"
#include "pipeline/filters.h"
#include "pipeline/pipeline.h"
#include "tmp105.h"

extern const struct ek_i2c ek_device_i2c0; // devices.c
// [[sensor]] air
static struct tmp105_state tmp105_0_state;
static const struct tmp105 tmp105_0 = {
    .bus = &ek_device_i2c0,
    .addr = 0x48,
    .channel = 0,
    .state = &tmp105_0_state,
};
// [[sensor]] soil
static struct tmp105_state tmp105_1_state;
static const struct tmp105 tmp105_1 = {
    .bus = &ek_device_i2c0,
    .addr = 0x49,
    .channel = 1,
    .state = &tmp105_1_state,
};

// filters of air
static const struct calibrate_linear_params calibrate_linear_0_0 = {.num = 1000, .add = -200000, .den = 989};
static const struct median_params median_0_1 = {.size = 5};
static struct window_state median_0_1_state = {.values = {[4] = 0}};
static const struct offset_params offset_0_2 = {.add = -500};
static const struct delta_params delta_0_3 = {.change = 250, .heartbeat_ms = 60000};
static struct delta_state delta_0_3_state;
static const struct round_params round_0_4 = {.step = 100};
static const struct filter filters_0[] = {
    {&filter_calibrate_linear_ops, &calibrate_linear_0_0, NULL},
    {&filter_median_ops, &median_0_1, &median_0_1_state},
    {&filter_offset_ops, &offset_0_2, NULL},
    {&filter_delta_ops, &delta_0_3, &delta_0_3_state},
    {&filter_round_ops, &round_0_4, NULL},
};

const struct channel pipeline_channels[] = {
    {.name = "air", .unit = "Cel", .filters = filters_0, .filter_count = 5, .decimals = 3},
    {.name = "soil", .unit = "Cel", .decimals = 3},
};
const uint16_t pipeline_channel_count = 2;

const struct poll pipeline_polls[] = {
    {&tmp105_ops, &tmp105_0, .period_ms = 1000, .phase_ms = 0, .channel = 0, .channel_count = 1},
    {&tmp105_ops, &tmp105_1, .period_ms = 1000, .phase_ms = 500, .channel = 1, .channel_count = 1},
};
const uint16_t pipeline_poll_count = 2;
struct poll_state pipeline_poll_states[2];

const struct pipeline_settings pipeline_settings = {
    .overflow = OVERFLOW_BLOCK,
    .encoding = ENCODING_SENML_JSON,
    .qos = 2,
    .batch_ms = 100,
    .statistics_s = 60,
};
