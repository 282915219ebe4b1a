// Sizes, written by edgeuk from boards/host.toml and gateway.toml.
// Board: host (An ordinary Linux process with sanitizers, on the system's sockets). Changes here are lost.

#ifndef CONFIG_H
#define CONFIG_H

// boards/host.toml, [sizes]
#define EK_CPU_CLOCK_HZ       0
#define EK_MESSAGE_BYTES      1024
#define EK_MQTT_OUTBOX_BYTES  2048
#define EK_MQTT_RECEIVE_BYTES 1024
#define EK_NET_HEAP_BYTES     4096
#define EK_NET_POOL_BUFFERS   8
#define EK_STACK_BYTES        8192
#define EK_TCP_WINDOW_BYTES   2920

// gateway.toml, [pipeline] queue
#define EK_QUEUE_READINGS     64
// connections that sensors hold open
#define EK_SENSOR_TCP_STREAMS 1
// interrupt lines up to the highest in use
#define EK_IRQ_VECTORS        1
// gateway.toml, profile
#define EK_DEVELOPMENT        0
// whether MQTT subscribes to anything
#define EK_MQTT_LISTENS       1

#endif
