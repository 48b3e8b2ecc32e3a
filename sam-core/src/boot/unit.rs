//! The two systemd units of a node. The values in them are of types that hold letters, digits and
//! hyphens only, so nothing in them can mean anything to systemd.
//!
//! Hardening of the agent's unit, whose processes are also those of workspaces: what people and coding
//! agents do in a workspace must go on working (compilers, debuggers, browsers, sandboxes that make
//! namespaces of their own). So what only an owner of the machine needs is taken away, and what
//! would break a guest is left, by name:
//!
//! - **User**, **`NoNewPrivileges`**, an empty **`CapabilityBoundingSet`**: the agent and its holder
//!   start everything as the one user they run as, so none of them needs a privilege, and no
//!   set-user-id program gives one. Sandboxes that use user namespaces are not affected; `sudo`, and
//!   rootless containers with more than one user id, are given up.
//! - **`ProtectSystem`=strict**: nothing but the directories named is writable, also for a process that
//!   found a file with a wrong mode.
//! - **`SystemCallFilter`** takes what changes the machine (clock, modules, reboot, swap, raw I/O).
//!   Not `@debug` (debuggers) and not `@mount` (sandboxes).
//! - **`RestrictRealtime`**, **`RemoveIPC`**: one workspace must not starve the machine, or leave memory
//!   behind. **`ProtectKernelModules`** hides only their directory.
//! - Not **`ProtectKernelTunables`**, **`ProtectKernelLogs`**, **`ProtectProc`**,
//!   **`ProtectControlGroups`**: they mount over parts of `/proc` and `/sys`, and then the kernel
//!   refuses a fresh `/proc` in a sandbox. The user has no right there anyway.
//! - Not **`PrivateTmp`** and **`ProtectHome`**: Docker mounts the paths of a workspace as the machine
//!   sees them, and the user's home is what it works with.
//! - Not **`PrivateDevices`** and **`ProtectClock`**: both close `/dev/kvm` and `/dev/fuse`.
//! - Not **`MemoryDenyWriteExecute`**, **`LockPersonality`**, **`RestrictNamespaces`**,
//!   **`RestrictSUIDSGID`**, **`ProtectHostname`**: they break just-in-time compilers, gdb, browsers,
//!   unpacking archives, and sandboxes that name themselves.
//! - **`OOMPolicy`=continue**: a compiler that is killed for its memory must not take every terminal
//!   with it. **`KillMode`=mixed**: the holder ends what it started, in its order.

use super::release::UserName;
use crate::id::NodeId;

pub(super) const AGENT_PROGRAM: &str = "/usr/local/bin/sam-agentd";

/// `/etc/systemd/system/sam-firewall.service`: as early as the network, and before the agent.
pub(super) const FIREWALL: &str = "\
[Unit]
Description=SAM: what may reach this node, and what its workspaces may not reach
DefaultDependencies=no
After=local-fs.target
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/sam/firewall.nft
ProtectSystem=strict
ProtectHome=yes
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_NET_ADMIN

[Install]
WantedBy=sysinit.target
";

/// `/etc/systemd/system/sam-agentd.service`.
pub(super) fn agent(node: NodeId, user: &UserName) -> String {
    AGENT
        .replace("@PROGRAM@", AGENT_PROGRAM)
        .replace("@DIR@", &node_dir(node))
        .replace("@USER@", user.as_str())
}

/// Where the node's files are: its boot data, its identity, its workspaces.
pub(super) fn node_dir(node: NodeId) -> String {
    format!("/var/lib/sam/nodes/{node}")
}

const AGENT: &str = "\
[Unit]
Description=SAM: the holder of this node, and its agent
Wants=network-online.target
After=network-online.target sam-firewall.service
Requires=sam-firewall.service
StartLimitIntervalSec=0

[Service]
Type=exec
User=@USER@
ExecStart=@PROGRAM@ holder --dir @DIR@
WorkingDirectory=@DIR@
Environment=LANG=C.UTF-8
Restart=always
RestartSec=5
KillMode=mixed
TimeoutStopSec=60
OOMPolicy=continue
TasksMax=65536
LimitNOFILE=524288
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=/var/lib/sam /home/@USER@ /tmp /var/tmp
ProtectKernelModules=yes
RemoveIPC=yes
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=~@clock @module @reboot @swap @raw-io
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
";
