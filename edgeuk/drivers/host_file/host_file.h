// host_file.h: the file that is named on the command line.
#ifndef HOST_FILE_H
#define HOST_FILE_H
#include "ek/storage.h"

struct host_file {
    char unused; // C has no empty struct
};
extern const struct ek_storage_ops host_file_ops;
#endif
