"""What each error code means: the texts of `edgeuk explain E0123`, and nothing else.

Codes are stable: one that is no longer used is not given to something else.
"""

from dataclasses import dataclass

from edgeuk.errors import UsageError
from edgeuk.values import nearest


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of fault."""

    title: str
    cause: str
    example: str  # what is wrong; "" where there is nothing to show
    fix: str  # what is right, or what to do


CODES = {
    "E0101": Code(
        "the file cannot be read",
        "It does not exist, is a folder, or you may not read it.",
        "",
        "Check the name; `edgeuk new NAME` makes a gateway to start from.",
    ),
    "E0102": Code(
        "the file is not UTF-8 text",
        "TOML files are UTF-8. An editor has saved this one in another encoding.",
        "",
        "Save it as UTF-8. On a command line: iconv -f latin1 -t utf-8 old.toml > new.toml",
    ),
    "E0103": Code(
        "the file is too large",
        "Configuration files have at most 256 KiB; a gateway of 500 sensors has about 60.",
        "",
        "Check that this is the right file.",
    ),
    "E0104": Code(
        "this is not TOML",
        "The line does not follow TOML's rules (toml.io): missing quotes or brackets, mostly.",
        "every = 1s",
        'every = "1s"',
    ),
    "E0105": Code(
        "a key or table is given twice",
        "TOML allows each key once in a table, and each [table] once in a file.",
        'name = "a"\nname = "b"',
        "Keep one of the two. Several sensors are [[sensor]] with two brackets.",
    ),
    "E0106": Code(
        "the file is empty",
        "It has no keys at all.",
        "",
        "`edgeuk new NAME` makes a gateway to start from.",
    ),
    "E0201": Code(
        "unknown key",
        "Nothing reads this key, so it would have no effect: mostly a typing error, or a key in "
        "the wrong table.",
        'evry = "1s"',
        'every = "1s"',
    ),
    "E0202": Code(
        "something is missing",
        "A key without a default is not there.",
        '[[sensor]]\nname = "air"\ndriver = "tmp105"',
        'Add it, here: at = "i2c0:0x48" and every = "1s"',
    ),
    "E0203": Code(
        "a value of the wrong kind",
        "Each key takes one kind of value: a text in quotes, a number, true or false, an array.",
        "every = 1",
        'every = "1s"',
    ),
    "E0204": Code(
        "a value out of range",
        "The value is of the right kind but too small or too large.",
        "[mqtt]\nqos = 3",
        "[mqtt]\nqos = 1",
    ),
    "E0205": Code(
        "not one of the values there are",
        "The key takes one of a few values.",
        '[pipeline]\noverflow = "drop"',
        'overflow = "drop_oldest", "drop_newest" or "block"',
    ),
    "E0206": Code(
        "this is not a duration",
        "A duration is a number and a unit, in quotes: ms, s, m (or min), h, d.",
        'every = "1 sec"',
        'every = "1s"',
    ),
    "E0207": Code(
        "a text that is not allowed here",
        "Names become host names, topics, SenML names or names in C, each of which allows certain "
        "characters and lengths only.",
        'name = "air temperature"',
        'name = "air-temperature"',
    ),
    "E0208": Code(
        "a schema that this edgeuk does not know",
        "`schema` says which rules the file follows. This edgeuk knows schema 1.",
        "schema = 2",
        "schema = 1, or install a newer edgeuk",
    ),
    "E0301": Code(
        "unknown driver",
        "There is no driver of this name (edgeuk/drivers/<name>/driver.toml).",
        'driver = "tmp106"',
        "`edgeuk drivers` lists them.",
    ),
    "E0302": Code(
        "unknown board",
        "There is no board of this name (boards/<name>.toml).",
        'board = "x86"',
        "`edgeuk boards` lists them.",
    ),
    "E0303": Code(
        "unknown filter",
        "A filter is a table whose key is the kind: offset, multiply, calibrate_linear, clamp, "
        "median, moving_average, delta, throttle, round.",
        "filter = [{ medain = 5 }]",
        "filter = [{ median = 5 }]",
    ),
    "E0304": Code(
        "unknown device",
        "The board has no device of this name ([devices.<name>] in its file).",
        'at = "i2c7:0x48"',
        'at = "i2c0:0x48"; `edgeuk boards --for gateway.toml` says which boards fit',
    ),
    "E0305": Code(
        "unknown server",
        "The part of `at` before the slash is a name of the table [servers].",
        '[servers]\nmain = "192.168.1.50"\n[[sensor]]\nat = "mian/1"',
        'at = "main/1"',
    ),
    "E0306": Code(
        "unknown role",
        "A role is what the firmware asks the board for: console, uplink, entropy, power, soc, "
        "intc.",
        '[roles]\nconsol = "uart0"',
        '[roles]\nconsole = "uart0"',
    ),
    "E0307": Code(
        "two sensors of one name",
        "The name tells a sensor's readings from all others, and an actuator's state.",
        '[[sensor]]\nname = "air"\n[[sensor]]\nname = "air"',
        'name = "air-north" and name = "air-south"',
    ),
    "E0308": Code(
        "unknown unit",
        "Units are those of SenML (RFC 8428, 12.1, and RFC 8798), so that whoever receives a "
        "reading understands it.",
        'unit = "°C"',
        'unit = "Cel"; a unit of your own begins with x-: unit = "x-bar"',
    ),
    "E0309": Code(
        "unknown processor",
        "No architecture has this cpu (firmware/arch/<name>/arch.toml, [cpus.<cpu>]).",
        'cpu = "cortex-m33"',
        'cpu = "cortex-m3"',
    ),
    "E0401": Code(
        "not an address of a server",
        "A broker is mqtt://host:port, a Modbus server host:port.",
        'url = "http://broker"',
        'url = "mqtt://broker:1883"',
    ),
    "E0402": Code(
        "mqtts:// is not complete",
        "With mqtts:// in the gateway file the image encrypts, whatever a device file says, and "
        "trusts only brokers whose certificate a CA that it knows has signed.",
        '[mqtt]\nurl = "mqtts://broker:8883"',
        'Name the CA, in the gateway file or in a device file: [tls] ca = "ca.crt". Give both '
        "files the same scheme.",
    ),
    "E0403": Code(
        "a password in a file that is shared",
        "The gateway file is the same for all devices and is kept in version control.",
        '[mqtt]\npassword = "secret"',
        "Put [mqtt] password into a device file, and name that with --device FILE.",
    ),
    "E0404": Code(
        "not a place",
        "Sensors on a bus are at bus:address, those at a digital pin at port:pin, Modbus "
        "registers at server/unit.",
        'at = "i2c0/48"',
        'at = "i2c0:0x48", at = "gpio0:5" or at = "main/1"',
    ),
    "E0405": Code(
        "two sensors at one I2C address",
        "Both would answer at once.",
        'at = "i2c0:0x48" for two sensors',
        "Strap one of them to another address, or use another bus.",
    ),
    "E0406": Code(
        "a device or driver of the wrong class",
        "A role, a bus or a sensor needs a driver of a certain class: a console is a uart.",
        '[roles]\nconsole = "eth0"',
        '[roles]\nconsole = "uart0"',
    ),
    "E0407": Code(
        "not a network address",
        "Addresses are IPv4, the device's own one with its prefix.",
        'address = "192.168.1.300"',
        'address = "192.168.1.30/24"',
    ),
    "E0408": Code(
        "not a topic to publish to",
        "+ and # are for subscribers, $ begins topics of the broker, and empty levels are mostly "
        "a mistake.",
        'topic = "/sites/#"',
        'topic = "sites/north"',
    ),
    "E0409": Code(
        "the driver refuses a sensor",
        "The driver has rules of its own for its keys; the message says which.",
        'register = "40001"',
        'register = "holding:0"',
    ),
    "E0410": Code(
        "keys that contradict each other",
        "One key makes another one impossible.",
        'driver = "tmp105"\nunit = "K"',
        "Remove one of them.",
    ),
    "E0411": Code(
        "a filter's parameter is wrong",
        "`edgeuk explain E0303` lists the filters; each checks its own values. Values have at most "
        "as many digits after the point as the sensor's readings have.",
        "filter = [{ clamp = [100, 0] }]",
        "filter = [{ clamp = [0, 100] }]",
    ),
    "E0412": Code(
        "two on one pin",
        "A pin is one sensor's or one actuator's.",
        'at = "gpio0:5" for two sensors',
        "Use another pin.",
    ),
    "E0413": Code(
        "a pin that is not free",
        "Another device of the board uses it (`reserved` of the port in the board's file).",
        'at = "gpio0:0", where pin 0 selects the memory card',
        "Use a pin that is free; the message lists them.",
    ),
    "E0414": Code(
        "less protection than the profile has",
        "A production image always verifies its broker; the default profile of [tls] has TLS 1.3 "
        "and nothing older.",
        "[tls]\nverify = false",
        'For tests alone: profile = "development" at the top of the gateway file. For brokers that '
        'have no TLS 1.3: [tls] profile = "compatible".',
    ),
    "E0420": Code(
        "a key or certificate cannot be used",
        "The file is not there, is damaged, or has something else in it; or one of the two is not "
        "named. Both PEM and DER are read.",
        '[tls]\ncert = "gw-1.pem"',
        '[tls]\ncert = "gw-1.pem"\nkey = "gw-1.pem"',
    ),
    "E0421": Code(
        "an encrypted key",
        "A device starts by itself: nobody is there to type a passphrase. Of a CA's key, the "
        "passphrase was wrong.",
        "",
        "Decrypt it: openssl pkey -in encrypted.key -out plain.key; chmod 600 plain.key",
    ),
    "E0422": Code(
        "key and certificate do not belong together",
        "A certificate is for one key, and this is another one.",
        '[tls]\ncert = "gw-1.pem"\nkey = "gw-2.pem"',
        '[tls]\ncert = "gw-1.pem"\nkey = "gw-1.pem"',
    ),
    "E0423": Code(
        "signed by somebody else",
        "The certificate, or the configuration of a device, is not signed by the CA that "
        "[identity] ca of the gateway file names, so broker or image would refuse it.",
        "",
        "edgeuk provision --renew NAME, with that CA; or name the CA that has signed.",
    ),
    "E0424": Code(
        "not valid now",
        "A certificate is valid from one date to another. After the last one, every handshake "
        "fails.",
        "",
        "edgeuk provision --renew NAME for a device; for a CA, who runs it has a new one. Check "
        "this machine's clock as well.",
    ),
    "E0425": Code(
        "a certificate for another purpose",
        "A CA's certificate has the CA flag (basicConstraints), a device's is for clients "
        "(extendedKeyUsage clientAuth). This one is not.",
        '[tls]\nca = "broker.crt"',
        '[tls]\nca = "ca.crt", the certificate of who has signed broker.crt',
    ),
    "E0426": Code(
        "a weak or unknown key or signature",
        "RSA below 2048 bits and SHA-1 can be broken. The default profile checks P-256 only; the "
        "compatible one RSA as well. What seals configurations is P-256.",
        "",
        'Use P-256 keys, as `edgeuk provision` makes them; for RSA: [tls] profile = "compatible"',
    ),
    "E0427": Code(
        "of another device or board",
        "Certificate and sealed configuration are one device's, by name, and may be for one board.",
        "",
        "Name the files of this device; `edgeuk provision NAME` makes them.",
    ),
    "E0428": Code(
        "the CA's key is not here",
        "The gateway file has [identity] ca: its image accepts only what that CA has sealed, and "
        "ca.toml beside ca.crt says where its key is.",
        "",
        "Where the key is, `edgeuk provision NAME` writes identity/devices/NAME.bin: use that with "
        "--device. Or `edgeuk provision` for a new CA, in another folder.",
    ),
    "E0429": Code(
        "the CA does not sign",
        "A wrong passphrase or PIN, a token that is not there, or a command that fails. Nothing "
        "was changed.",
        "",
        "Try again. $EDGEUK_PASSPHRASE and $EDGEUK_PIN are for scripts.",
    ),
    "E0430": Code(
        "not a device configuration",
        "A finished configuration (docs/device-config-spec.md) is damaged, or this is another "
        "file.",
        "",
        "`edgeuk provision NAME` writes it anew.",
    ),
    "E0431": Code(
        "an identity without TLS",
        "With [identity] ca an image accepts only configurations that the CA has sealed. What "
        "verifies the seal comes with TLS; images for mqtt:// have no cryptography.",
        '[mqtt]\nurl = "mqtt://broker"\n[identity]\nca = "ca.crt"',
        'Give [mqtt] url = "mqtts://broker", or leave out [identity].',
    ),
    "E0432": Code(
        "no key of a board",
        "Beside a device's file is the key that its board has in one-time programmable memory; its "
        "configuration is encrypted with it.",
        "",
        "64 hexadecimal digits: `rpi-otp-private-key > gw-1.otp` on the board, then `edgeuk "
        "provision gw-1 --device-key gw-1.otp`.",
    ),
    "E0433": Code(
        "a build time that is none",
        "A device that does not know the time of day takes it as later than its image's build "
        "time: $SOURCE_DATE_EPOCH, else the day on which this edgeuk was released. The variable "
        "must be whole seconds since 1970, and not in the future.",
        "SOURCE_DATE_EPOCH=2026-11-21 edgeuk build",
        "SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct) edgeuk build",
    ),
    "E0434": Code(
        "TLS without good random numbers",
        "Keys come from random numbers. A board without a source of them, or with a weak one, "
        "could only make keys that can be guessed; a production image refuses TLS instead, at "
        "each attempt.",
        'url = "mqtts://broker" for lm3s6965evb',
        'profile = "development", to try it out; in the field, a board that has a source',
    ),
    "E0501": Code(
        "memory regions overlap",
        "Each address belongs to one region.",
        "flash = { base = 0, size = 0x4_0000 }\nconfig = { base = 0x3_F000, size = 0x1000 }",
        "Make the first one shorter: size = 0x3_F000",
    ),
    "E0502": Code(
        "a region that cannot be",
        "Regions begin and end at multiples of 4 and inside the address space.",
        "ram = { base = 0x2000_0001, size = 0x1000 }",
        "ram = { base = 0x2000_0000, size = 0x1000 }",
    ),
    "E0503": Code(
        "two devices at one address",
        "Each device has registers of its own: mostly a copied table.",
        "base = 0x4000_C000 for two devices",
        "See the memory map in the chip's manual.",
    ),
    "E0504": Code(
        "two devices on one interrupt",
        "edgeuk does not share interrupt lines.",
        "irq = 5 for two devices",
        "See the interrupt table in the chip's manual.",
    ),
    "E0505": Code(
        "a driver for another architecture",
        "The driver uses instructions that this processor does not have.",
        'cpu = "cortex-m3" with driver = "uart16550"',
        "`edgeuk drivers` lists the others of its class.",
    ),
    "E0506": Code(
        "a rate that cannot be made",
        "The driver makes this rate by dividing the device's clock, and no divisor that the "
        "hardware has gives it.",
        "clock_hz = 1_000_000\nbaud = 115_200",
        "Give the clock that the device really gets, or another rate: baud = 9_600",
    ),
    "E0507": Code(
        "two users of one pin",
        "Two devices of the board, or two properties of one, name the same pin.",
        "tx_pin = 24\nrx_pin = 24",
        "Give each its own pin, as the board's schematic has it: tx_pin = 24, rx_pin = 25",
    ),
    "E0508": Code(
        "a packet that is larger than a record",
        "With TLS, a broker may send any packet that it is allowed to (`mqtt_receive_bytes`) in "
        "one record, and one that is larger than `tls_record_bytes` ends the connection.",
        "mqtt_receive_bytes = 4096\ntls_record_bytes = 2048",
        "Make the records as large as the packets, or 16_384, which none exceeds.",
    ),
    "E0509": Code(
        "a clock that the device does not get",
        "The driver of the board's `soc` starts the clocks, and knows which device gets which: "
        "[clocks] of its driver.toml.",
        "[devices.uart0]\nclock_hz = 60_000_000 # but the soc: clock_hz = 120_000_000",
        "Give the device the clock that it gets, or the soc another: clock_hz = 120_000_000",
    ),
    "E0601": Code(
        "a source file is missing",
        "`sources` names files of the manifest's own folder.",
        'sources = ["pl11.c"]',
        'sources = ["pl011.c"]',
    ),
    "E0602": Code(
        "a limit that makes no sense",
        "`min` and `max` are for numbers, durations and addresses.",
        '{ type = "bool", max = 1 }',
        '{ type = "bool" }',
    ),
    "E0701": Code(
        "the device configuration is too large",
        "All values of one device must fit into 4096 bytes.",
        "",
        "Shorten names, topic and password, or use fewer servers.",
    ),
    "E0801": Code(
        "the board cannot be flashed",
        "Its file has no table [flash]: it is a virtual machine or a process, or nobody has said "
        "yet how an image gets onto it.",
        "",
        'Run it with `edgeuk run`; or add [flash] method = "pyocd" and target to the board file.',
    ),
    "E0802": Code(
        "an option of the other way of flashing",
        "--probe is for boards with a debug probe; --to for boards that boot from a card or from a "
        "drive of theirs, and for those that another program flashes.",
        "edgeuk flash --board rpi4 --probe virtual",
        "edgeuk flash --board rpi4 --to sdcard.img",
    ),
    "E0803": Code(
        "a package for flashing is missing",
        "Debug probes need pyOCD, some virtual boards Unicorn; neither comes with edgeuk.",
        "",
        'pip install "edgeuk[flash]", or "edgeuk[virtual]" for both.',
    ),
    "E0804": Code(
        "no such probe",
        "No debug probe is connected, or none with this identity.",
        "",
        "Check cable and power; on Linux also pyOCD's udev rules. `--probe virtual` needs none.",
    ),
    "E0805": Code(
        "several probes",
        "More than one is connected, and writing to the wrong board would be a loss.",
        "edgeuk flash --board frdm-k64f",
        "edgeuk flash --board frdm-k64f --probe ID",
    ),
    "E0806": Code(
        "another chip",
        "The chip at the probe is not the one of the board.",
        "",
        "Check which board is connected; `edgeuk boards` lists the boards there are.",
    ),
    "E0807": Code(
        "the chip is locked",
        "Its read-out protection keeps debuggers out. Only erasing all of it opens it again.",
        "",
        "`--unlock` erases the whole chip, configuration and keys included, and then writes.",
    ),
    "E0808": Code(
        "the image does not fit",
        "Part of it would lie outside of the board's memory, or its slot on the card is too small;"
        " or it is an image of another board.",
        "",
        "`edgeuk size` shows what takes the room; check [memory] of the board file.",
    ),
    "E0809": Code(
        "what was written is not what is there",
        "Reading back gave other bytes: a worn flash or card, or a bad connection.",
        "",
        "Try again, then with another card, cable or board.",
    ),
    "E0810": Code(
        "writing failed",
        "The probe, the chip's flash routine or the card stopped in the middle. What is there does "
        "not start.",
        "",
        "Check the connection and write again.",
    ),
    "E0811": Code(
        "files of the boot firmware are missing",
        "The board starts with files that are not edgeuk's: its maker's, or a U-Boot built for it.",
        "",
        "The message says how to get them; --firmware-dir names their folder. --no-firmware, where "
        "U-Boot is in the board already.",
    ),
    "E0812": Code(
        "not a disk to write to",
        "It is mounted, part of the system or not removable. Writing would destroy what is there.",
        "--to /dev/sda, the system's disk",
        "Name the card; the message lists disks that would do. Unmount it first.",
    ),
    "E0813": Code(
        "the card is too small",
        "It has no room for the boot files and both slots.",
        "",
        "Take a larger one; the message says how large.",
    ),
    "E0815": Code(
        "not without a yes",
        "Writing destroys what was there, and nobody is at the terminal to ask.",
        "",
        "Add --yes.",
    ),
    "E0816": Code(
        "no such virtual board",
        "There is no virtual board for this microcontroller, or the name is taken by another one.",
        "",
        "The message lists those that there are.",
    ),
    "E0817": Code(
        "the virtual board does not run",
        "It was not started, or has been stopped.",
        "",
        "edgeuk board start NAME",
    ),
    "E0818": Code(
        "the virtual board has failed",
        "Its process has ended or does not answer. What was in its flash is kept as it was last "
        "saved.",
        "",
        "edgeuk board stop NAME, then start it again.",
    ),
    "E0831": Code(
        "the console is of another build",
        "Its first line says which image it is. Addresses of one build mean something else in "
        "another, so nothing is shown rather than something wrong.",
        "",
        "Name the program of that build with --elf; --force takes the addresses as they are.",
    ),
    "E0832": Code(
        "no program with these symbols",
        "`edgeuk decode` needs the gateway.debug.elf that was built together with the image.",
        "edgeuk decode console.log",
        "edgeuk decode console.log --elf gateway.debug.elf",
    ),
    "E0833": Code(
        "no debugger",
        "There is no gdb, or the one that there is does not know the board's processor.",
        "",
        "apt-get install gdb-multiarch, or --gdb PATH.",
    ),
    "E0834": Code(
        "the board runs another image",
        "What is in its flash is not what these sources make, so names and lines would be wrong.",
        "",
        "edgeuk flash --board B --probe ID, then debug.",
    ),
    "E0901": Code(
        "a row of test data is not right",
        "`edgeuk pipeline test` reads rows of time and value: seconds, then a number.",
        "12.5; 21",
        "12.5, 21",
    ),
    "E0902": Code(
        "no test data",
        "The CSV file has no row of time and value.",
        "",
        "Write rows such as `0.0, 21.5`.",
    ),
    "W0401": Code(
        "the port of the other scheme",
        "Brokers listen for mqtt:// at 1883 and for mqtts:// at 8883. Who expects TLS does not "
        "understand a client without it, nor the other way round.",
        'url = "mqtts://broker:1883"',
        'url = "mqtts://broker:8883"',
    ),
    "W0420": Code(
        "a key that others can read",
        "Other users of this machine may read the device's private key.",
        "",
        "chmod 600 FILE",
    ),
    "W0423": Code(
        "signed by another CA than the broker's",
        "The device trusts one CA, and its own certificate is from another one. That is right only "
        "where the broker has two.",
        "",
        "[identity] ca in the gateway file names the CA of devices, and is checked strictly.",
    ),
    "W0424": Code(
        "a certificate that expires soon",
        "It has less than 30 days left.",
        "",
        "edgeuk provision --renew NAME",
    ),
    "W0701": Code(
        "a setting without effect",
        "A throttle or heartbeat that is shorter than the sensor's period lets every reading pass.",
        'every = "10s"\nfilter = [{ throttle = "1s" }]',
        'filter = [{ throttle = "60s" }], or no throttle',
    ),
    "W0702": Code(
        "the queue is short",
        "If all sensors report at once, the queue cannot hold one reading of each.",
        "[pipeline]\nqueue = 4 with 10 sensors",
        "queue = 20",
    ),
}


def explain(code: str) -> str:
    """The text of `edgeuk explain`. Raises `UsageError` for a code that does not exist."""
    name = code.strip().strip("[]").upper()
    found = CODES.get(name)
    if not found:
        hint = nearest(name, CODES)
        raise UsageError(f"there is no code `{code}`", hint=hint)
    parts = [f"{name}: {found.title}", found.cause]
    if found.example:
        parts += [_block("wrong:", found.example), _block("right:", found.fix)]
    else:
        parts.append(found.fix)
    return "\n\n".join(parts)


def _block(word: str, text: str) -> str:
    return "\n".join([word, *(f"    {line}" for line in text.split("\n"))])
