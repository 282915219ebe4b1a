// ek/status.h: how a call says that it failed.
#ifndef EK_STATUS_H
#define EK_STATUS_H

// Every fallible call returns `int`: >= 0 is success (a count where documented), < 0 is exactly one
// of these. Programming errors are not statuses: ek_assert().
enum ek_status {
    EK_OK = 0,
    EK_EINVAL = -1,    // the caller's configuration cannot be met by this device
    EK_EIO = -2,       // the device or peer answered wrongly or not at all
    EK_ETIMEDOUT = -3, // no answer within the limit
    EK_EAGAIN = -4,    // nothing to do now, or no room now; ask again
    EK_ENOENT = -5,    // no such thing: key, host name, device
    EK_EPROTO = -6,    // the peer broke its protocol
    EK_ECLOSED = -7,   // the peer ended the connection, or there is none
    EK_EREFUSED = -8,  // the peer said no: connection refused, Modbus exception, MQTT reason code
    EK_ENOMEM = -9,    // a bounded arena or table is full
    EK_ERANGE = -10,   // a value is outside what its type or format can carry
};

// A short lower-case name for logs and statistics ("timeout"); never NULL.
const char *ek_status_name(int status);
#endif
