# Browsers and drivers for Windows, called by `cargo xtask setup`. It skips what is there, and can be run by hand.
# Not run on the machine this project was written on: the first run on Windows may need a correction here.
$ErrorActionPreference = "Stop"

function Say([string] $Text) { Write-Host "setup: $Text" }

if (-not (Get-Command winget -ErrorAction SilentlyContinue)) {
    throw "winget is missing: install App Installer from the Microsoft Store, then run this again"
}

function Install-Package([string] $Id, [string] $Name) {
    Say $Name
    winget install --id $Id --exact --silent --accept-package-agreements --accept-source-agreements
    if ($LASTEXITCODE -ne 0) { throw "winget could not install $Id" }
}

# A browser that came another way (per user, or by a company's installer) counts as there.
function Add-Browser([string] $Id, [string] $Name, [string] $Program) {
    foreach ($root in @($env:LOCALAPPDATA, $env:PROGRAMFILES, ${env:PROGRAMFILES(X86)})) {
        if ($root -and (Test-Path (Join-Path $root $Program))) { return }
    }
    Install-Package $Id $Name
}
Add-Browser "Google.Chrome" "Google Chrome" "Google\Chrome\Application\chrome.exe"
Add-Browser "Microsoft.Edge" "Microsoft Edge" "Microsoft\Edge\Application\msedge.exe"
Add-Browser "Mozilla.Firefox" "Firefox" "Mozilla Firefox\firefox.exe"

# Firefox's driver is built by set-up itself. A driver must be of its browser's own build, and browsers update themselves: discovery says when the two part ways.
function Add-Program([string] $Id, [string] $Program) {
    if (-not (Get-Command $Program -ErrorAction SilentlyContinue)) { Install-Package $Id $Program }
}
Add-Program "Chromium.ChromeDriver" "chromedriver"
Add-Program "Microsoft.EdgeDriver" "msedgedriver"
Add-Program "OpenJS.NodeJS.LTS" "node"
