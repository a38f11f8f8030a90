"""What Noria is made of: the locked packages, their known vulnerabilities, bills of materials, licences."""
