// Sizes, written by edgeuk from boards/lm3s6965evb.toml and gateway.toml.
// Board: lm3s6965evb (Stellaris LM3S6965 evaluation board: Cortex-M3, Ethernet, I2C). Changes here are lost.

#ifndef CONFIG_H
#define CONFIG_H

// boards/lm3s6965evb.toml, [sizes]
#define EK_CPU_CLOCK_HZ       50000000
#define EK_MESSAGE_BYTES      1024
#define EK_MQTT_OUTBOX_BYTES  2048
#define EK_MQTT_RECEIVE_BYTES 1024
#define EK_NET_HEAP_BYTES     4096
#define EK_NET_POOL_BUFFERS   5
#define EK_STACK_BYTES        2048
#define EK_TCP_WINDOW_BYTES   2920

// gateway.toml, [pipeline] queue
#define EK_QUEUE_READINGS     32
// connections that sensors hold open
#define EK_SENSOR_TCP_STREAMS 0
// interrupt lines up to the highest in use
#define EK_IRQ_VECTORS        43
// gateway.toml, profile
#define EK_DEVELOPMENT        0
// whether MQTT subscribes to anything
#define EK_MQTT_LISTENS       0

#endif
