//! The programs that connect.

/// A program on the devices.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub file: &'static str,
    /// Where it lies.
    pub folder: &'static str,
    /// Who made it.
    pub company: &'static str,
    /// What it is.
    pub product: &'static str,
    /// The version.
    pub version: &'static str,
    /// The command line.
    pub command: &'static str,
    /// The program that started it.
    pub parent: &'static str,
    /// The size of the file.
    pub size: i64,
    /// Runs as the system, not as a person.
    pub system: bool,
}

macro_rules! program {
    ($name:ident, $file:literal, $folder:literal, $company:literal, $product:literal, $version:literal,
     $arguments:literal, $parent:literal, $size:literal, $system:literal) => {
        pub(crate) static $name: Program = Program {
            file: $file,
            folder: $folder,
            company: $company,
            product: $product,
            version: $version,
            command: concat!("\"", $file, "\"", $arguments),
            parent: $parent,
            size: $size,
            system: $system,
        };
    };
}

program!(
    CHROME,
    "chrome.exe",
    r"C:\Program Files\Google\Chrome\Application",
    "Google LLC",
    "Google Chrome",
    "141.0.7390.55",
    " --type=utility --utility-sub-type=network.mojom.NetworkService",
    "chrome.exe",
    3_112_440,
    false
);
program!(
    EDGE,
    "msedge.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application",
    "Microsoft Corporation",
    "Microsoft Edge",
    "141.0.3537.57",
    " --type=utility",
    "msedge.exe",
    4_270_000,
    false
);
program!(
    FIREFOX,
    "firefox.exe",
    r"C:\Program Files\Mozilla Firefox",
    "Mozilla Corporation",
    "Firefox",
    "143.0.1",
    "",
    "explorer.exe",
    692_000,
    false
);
program!(
    OUTLOOK,
    "OUTLOOK.EXE",
    r"C:\Program Files\Microsoft Office\root\Office16",
    "Microsoft Corporation",
    "Microsoft Outlook",
    "16.0.19231.20194",
    "",
    "explorer.exe",
    44_610_000,
    false
);
program!(
    TEAMS,
    "ms-teams.exe",
    r"C:\Program Files\WindowsApps\MSTeams_25255",
    "Microsoft Corporation",
    "Microsoft Teams",
    "25255.501.3957.1218",
    " msteams:system-initiated",
    "svchost.exe",
    365_000,
    false
);
program!(
    ONEDRIVE,
    "OneDrive.exe",
    r"C:\Program Files\Microsoft OneDrive",
    "Microsoft Corporation",
    "Microsoft OneDrive",
    "25.184.0921.0004",
    " /background",
    "explorer.exe",
    2_720_000,
    false
);
program!(
    SVCHOST,
    "svchost.exe",
    r"C:\Windows\System32",
    "Microsoft Corporation",
    "Host Process for Windows Services",
    "10.0.26100.1",
    " -k netsvcs -p -s wuauserv",
    "services.exe",
    79_920,
    true
);
program!(
    DEFENDER,
    "MsSense.exe",
    r"C:\Program Files\Windows Defender Advanced Threat Protection",
    "Microsoft Corporation",
    "Windows Defender Advanced Threat Protection",
    "10.8760.26100.1",
    "",
    "services.exe",
    540_000,
    true
);
program!(
    RMM,
    "FleetAgent.exe",
    r"C:\Program Files\Fleetwise\Agent",
    "Fleetwise Software",
    "Fleetwise Agent",
    "7.4.2",
    " --service",
    "services.exe",
    8_400_000,
    true
);
program!(
    MONITOR,
    "uptimed.exe",
    r"C:\Program Files\Uptimed",
    "Uptimed",
    "Uptimed Monitor",
    "3.1.0",
    " --probe default",
    "services.exe",
    5_100_000,
    true
);
program!(
    VPN_CLIENT,
    "openvpn.exe",
    r"C:\Program Files\OpenVPN\bin",
    "OpenVPN Inc.",
    "OpenVPN",
    "2.6.14",
    " --config branch.ovpn",
    "openvpnserv.exe",
    990_000,
    true
);
program!(
    UPDATER,
    "GoogleUpdate.exe",
    r"C:\Program Files (x86)\Google\Update",
    "Google LLC",
    "Google Update",
    "1.3.36.372",
    " /ua /installsource scheduler",
    "taskeng.exe",
    158_000,
    true
);
program!(
    CODE,
    "Code.exe",
    r"C:\Program Files\Microsoft VS Code",
    "Microsoft Corporation",
    "Visual Studio Code",
    "1.104.2",
    " --type=utility",
    "explorer.exe",
    199_000_000,
    false
);
program!(
    GIT,
    "git-remote-https.exe",
    r"C:\Program Files\Git\mingw64\libexec\git-core",
    "The Git Development Community",
    "Git",
    "2.51.0",
    " origin https://git.northwind.example/app.git",
    "git.exe",
    2_800_000,
    false
);
program!(
    TERRAFORM,
    "terraform.exe",
    r"C:\tools\terraform",
    "",
    "",
    "",
    " plan",
    "powershell.exe",
    96_000_000,
    false
);
program!(
    POWERSHELL,
    "powershell.exe",
    r"C:\Windows\System32\WindowsPowerShell\v1.0",
    "Microsoft Corporation",
    "Windows PowerShell",
    "10.0.26100.1",
    " -NoP -W Hidden -Enc SQBFAFgA",
    "wscript.exe",
    450_560,
    false
);
program!(
    RUNDLL32,
    "rundll32.exe",
    r"C:\Windows\System32",
    "Microsoft Corporation",
    "Windows host process (Rundll32)",
    "10.0.26100.1",
    r" C:\Users\Public\Libraries\cfgcache.dll,Start",
    "explorer.exe",
    71_680,
    false
);
program!(
    DROPPED,
    "syncsvc.exe",
    r"C:\Users\Public\Libraries",
    "",
    "",
    "",
    " -d",
    "rundll32.exe",
    412_672,
    false
);
